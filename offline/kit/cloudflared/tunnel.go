package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// connections is how many the official program keeps to the edge.
const connections = 4

// edgeError is what the edge answers where a tunnel has no connection: its error 1033.
const edgeError = 530

// tunnel answers what comes in at the edge, which it plays too.
type tunnel struct {
	now  atomic.Pointer[configuration]
	open atomic.Int32
	last string
}

// configuration is what a tunnel was told, and what follows from it.
type configuration struct {
	Version int             `json:"version"`
	Config  json.RawMessage `json:"config"`
	rules   []*rule
}

// say writes a line as the official program does where nobody sits at a terminal.
func say(level, message string, values ...any) {
	fmt.Fprintf(os.Stderr, "%s %s %s\n", time.Now().UTC().Format(time.RFC3339), level, fmt.Sprintf(message, values...))
}

func (t *tunnel) connect() {
	if t.open.Swap(connections) == connections {
		return
	}
	t.last = ""
	haConnections.Set(connections)
	for i := range connections {
		registered.WithLabelValues("registerConnection").Inc()
		serverLocations.WithLabelValues(strconv.Itoa(i), "double").Set(1)
		say("INF", "Registered tunnel connection connIndex=%d location=double", i)
	}
}

// disconnect loses every connection, and says why once.
func (t *tunnel) disconnect(reason error) {
	t.open.Store(0)
	haConnections.Set(0)
	registerFailed.WithLabelValues("endpoint", "registerConnection").Inc()
	t.complain("Connection terminated error=%q", reason)
}

func (t *tunnel) complain(message string, values ...any) {
	if line := fmt.Sprintf(message, values...); line != t.last {
		t.last = line
		say("ERR", "%s", line)
	}
}

// update takes a newer configuration over; one that is not valid leaves the rules as they are.
func (t *tunnel) update(answer told, certificates string) {
	if answer.Version == nil || *answer.Version <= t.now.Load().Version {
		return
	}
	rules, err := parseIngress(answer.Config, certificates)
	if err != nil {
		t.complain("Failed to update ingress error=%q config=%q version=%d", err, answer.Config, *answer.Version)
		return
	}
	t.now.Store(&configuration{*answer.Version, answer.Config, rules})
	configVersion.Set(float64(*answer.Version))
	say("INF", "Updated to new configuration config=%q version=%d", answer.Config, *answer.Version)
}

// ServeHTTP answers a request as it would arrive from the internet.
func (t *tunnel) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	writer.Header().Set("Server", "cloudflared double")
	if t.open.Load() == 0 {
		http.Error(writer, "error code: 1033", edgeError)
		return
	}
	totalRequests.Inc()
	concurrentRequests.Inc()
	defer concurrentRequests.Dec()
	found := matchingRule(t.now.Load().rules, request.Host, request.URL.Path)
	fail := func(status int, err error) {
		requestErrors.Inc()
		say("ERR", "error=%q originService=%s", err, found.Service)
		writer.WriteHeader(status)
	}
	if found.verifier != nil {
		if status, err := found.verifier.refusal(request); err != nil {
			fail(status, err)
			return
		}
	}
	if found.address == nil {
		responseByCode.WithLabelValues(strconv.Itoa(found.status)).Inc()
		writer.WriteHeader(found.status)
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite: found.rewrite,
		ModifyResponse: func(answer *http.Response) error {
			responseByCode.WithLabelValues(strconv.Itoa(answer.StatusCode)).Inc()
			answer.Header.Del("Server")
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
			fail(http.StatusBadGateway, fmt.Errorf("Unable to reach the origin service. The service may be down or it "+
				"may not be responding to traffic from cloudflared: %w", err))
		},
	}
	proxy.ServeHTTP(writer, request)
}

// rewrite leads a request to the rule's service, with what the edge adds to it.
func (r *rule) rewrite(request *httputil.ProxyRequest) {
	client, _, _ := net.SplitHostPort(request.In.RemoteAddr)
	out := request.Out
	out.URL.Scheme, out.URL.Host = r.address.Scheme, r.address.Host
	out.Header.Set("X-Forwarded-Proto", "https")
	out.Header.Set("X-Forwarded-For", client)
	out.Header.Set("Cf-Connecting-Ip", client)
	out.Header.Set("Cf-Ray", uuid.NewString()[:8]+"-DOUBLE")
}
