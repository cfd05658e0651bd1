package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// edgePort is where the double plays Cloudflare's edge; DOUBLE_EDGE names another address.
const edgePort = ":7844"

// metricsAddress is the first of those that the official image tries where none is given.
const metricsAddress = "0.0.0.0:20241"

// goodbyeTime is how long the endpoint may take to hear that the connector leaves.
const goodbyeTime = 2 * time.Second

// run connects a tunnel and serves it until a signal ends it.
func run(given options, token tunnelToken) error {
	connector, served := uuid.New(), &tunnel{}
	rules, err := parseIngress([]byte(noConfiguration), "")
	pause, wrong := time.ParseDuration(fromEnvironment("DOUBLE_POLL", pollTime))
	if err = errors.Join(err, wrong); err != nil {
		return err
	}
	served.now.Store(&configuration{-1, json.RawMessage(noConfiguration), rules})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	say("WRN", "This is Dockyard's double of cloudflared: it reaches nothing of Cloudflare")
	say("INF", "Starting tunnel tunnelID=%s", token.Tunnel)
	say("INF", "Version %s", version)
	say("INF", "Generated Connector ID: %s", connector)
	if given.metrics == "" {
		given.metrics = metricsAddress
	}
	metrics, err := net.Listen("tcp", given.metrics)
	if err != nil {
		return fmt.Errorf("Error opening metrics server listener: failed to bind to address (%s): %w", given.metrics, err)
	}
	entrance, err := net.Listen("tcp", fromEnvironment("DOUBLE_EDGE", edgePort))
	if err != nil {
		return fmt.Errorf("the double's edge cannot listen: %w", err)
	}
	say("INF", "Starting metrics server on %s/metrics", metrics.Addr())
	inside, edge := &http.Server{Handler: routes(served, connector)}, &http.Server{Handler: served}
	failed := make(chan error, 2)
	go func() { failed <- inside.Serve(metrics) }()
	go func() { failed <- edge.Serve(entrance) }()
	away := &endpoint{token: token, connector: connector, client: http.Client{Timeout: 5 * time.Second}}
	following, leave := context.WithCancel(context.Background())
	defer leave()
	if token.Endpoint == "" {
		say("WRN", "The token names no endpoint, and the double has no way to Cloudflare: the tunnel stays down")
	} else {
		go away.follow(following, served, pause)
	}
	select {
	case err := <-failed:
		return err
	case told := <-signals:
		say("INF", "Initiating graceful shutdown due to signal %s ...", told)
	}
	leave()
	if served.open.Swap(0) > 0 {
		within, done := context.WithTimeout(context.Background(), goodbyeTime)
		defer done()
		if _, err := away.call(within, http.MethodDelete); err != nil {
			say("ERR", "Could not disconnect error=%q", err)
		}
	}
	waiting, done := context.WithTimeout(context.Background(), given.grace)
	defer done()
	if edge.Shutdown(waiting) != nil {
		say("WRN", "The grace period is over: requests in flight are cut off")
	}
	say("INF", "Tunnel server stopped")
	return inside.Close()
}

// routes are those of the official metrics server, profiles and diagnoses left out.
func routes(served *tunnel, connector uuid.UUID) http.Handler {
	routes := http.NewServeMux()
	answer := func(path string, say func(writer http.ResponseWriter)) {
		routes.HandleFunc(path, func(writer http.ResponseWriter, _ *http.Request) { say(writer) })
	}
	routes.Handle("/metrics", promhttp.Handler())
	answer("/healthcheck", func(writer http.ResponseWriter) { fmt.Fprint(writer, "OK\n") })
	answer("/config", func(writer http.ResponseWriter) { _ = json.NewEncoder(writer).Encode(served.now.Load()) })
	answer("/ready", func(writer http.ResponseWriter) {
		open, status := served.open.Load(), http.StatusOK
		if open == 0 {
			status = http.StatusServiceUnavailable
		}
		writer.WriteHeader(status)
		fmt.Fprintf(writer, `{"status":%d,"readyConnections":%d,"connectorId":"%s"}`, status, open, connector)
	})
	return routes
}
