package main

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// The official program's own metrics, by their names and labels. Of what the double does not do they stay at zero.
var (
	totalRequests      = counters("tunnel_total_requests").WithLabelValues()
	concurrentRequests = gauges("tunnel_concurrent_requests_per_tunnel").WithLabelValues()
	requestErrors      = counters("tunnel_request_errors").WithLabelValues()
	responseByCode     = counters("tunnel_response_by_code", "status_code")
	haConnections      = gauges("tunnel_ha_connections").WithLabelValues()
	registered         = counters("tunnel_tunnel_register_success", "rpcName")
	registerFailed     = counters("tunnel_tunnel_register_fail", "error", "rpcName")
	serverLocations    = gauges("tunnel_server_locations", "connection_id", "edge_location")
	configVersion      = gauges("orchestration_config_version").WithLabelValues()
)

func init() {
	for _, name := range []string{"config_local_config_pushes", "config_local_config_pushes_errors", "tcp_total_sessions"} {
		counters(name).WithLabelValues()
	}
	gauges("tcp_active_sessions").WithLabelValues()
	labels := []string{"goversion", "type", "revision", "version"}
	info := promauto.NewGaugeVec(prometheus.GaugeOpts{Name: "build_info"}, labels)
	info.WithLabelValues(runtime.Version(), "double", built, version).Set(1)
}

func counters(name string, labels ...string) *prometheus.CounterVec {
	return promauto.NewCounterVec(prometheus.CounterOpts{Name: "cloudflared_" + name}, labels)
}

func gauges(name string, labels ...string) *prometheus.GaugeVec {
	return promauto.NewGaugeVec(prometheus.GaugeOpts{Name: "cloudflared_" + name}, labels)
}
