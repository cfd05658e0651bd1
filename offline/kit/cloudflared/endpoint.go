package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// pollTime is how often the endpoint is asked; DOUBLE_POLL names another time. Cloudflare's edge pushes changes, which
// takes about as long.
const pollTime = "2s"

// endpoint is what plays Cloudflare for a tunnel: it hears of the connector and tells it its configuration.
type endpoint struct {
	token     tunnelToken
	connector uuid.UUID
	client    http.Client
}

// told is the endpoint's answer; without a configuration both are null.
type told struct {
	Version *int            `json:"version"`
	Config  json.RawMessage `json:"config"`
}

func (e *endpoint) address(format string, parts ...any) string {
	return strings.TrimSuffix(e.token.Endpoint, "/") + fmt.Sprintf(format, parts...)
}

// call speaks to the endpoint: GET connects, or goes on; DELETE disconnects.
func (e *endpoint) call(ctx context.Context, method string) (told, error) {
	url := e.address("/connectors/%s/%s", e.token.Tunnel, e.connector)
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return told{}, err
	}
	request.Header.Set("Authorization", "Bearer "+base64.StdEncoding.EncodeToString(e.token.Secret))
	answer, err := e.client.Do(request)
	if err != nil {
		return told{}, err
	}
	defer answer.Body.Close()
	var envelope struct {
		Success bool                       `json:"success"`
		Errors  []struct{ Message string } `json:"errors"`
		Result  told                       `json:"result"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&envelope); err != nil {
		return told{}, fmt.Errorf("%d, and not in Cloudflare's envelope", answer.StatusCode)
	}
	if !envelope.Success {
		return told{}, fmt.Errorf("Unauthorized: %v", envelope.Errors)
	}
	return envelope.Result, nil
}

// follow keeps the tunnel connected to its endpoint and its rules up to date, until the context ends.
func (e *endpoint) follow(ctx context.Context, tunnel *tunnel, pause time.Duration) {
	for {
		answer, err := e.call(ctx, http.MethodGet)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			tunnel.disconnect(err)
		} else {
			tunnel.connect()
			tunnel.update(answer, e.address("/cdn-cgi/access/certs"))
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
