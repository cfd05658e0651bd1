// Command cadvisor is the image kit's cAdvisor: the library of github.com/google/cadvisor behind the flags and the
// endpoints of the official program that Dockyard uses. It has no web interface and no REST API.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/cadvisor/cache/memory"
	"github.com/google/cadvisor/container"
	_ "github.com/google/cadvisor/container/docker/install"
	v2 "github.com/google/cadvisor/info/v2"
	"github.com/google/cadvisor/manager"
	"github.com/google/cadvisor/metrics"
	"github.com/google/cadvisor/utils/sysfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// libraryVersion is the release of the library that go.mod pins.
const libraryVersion = "v0.53.0"

// storageTime is how long samples are kept; Prometheus asks for the newest one only.
const storageTime = 2 * time.Minute

// settings are the flags that are not the library's own.
type settings struct {
	address        string
	port           int
	endpoint       string
	allLabels      bool
	labels         string
	environment    string
	cgroupPrefixes string
	disabled       container.MetricSet
	enabled        container.MetricSet
	version        bool
}

func main() {
	defer klog.Flush()
	klog.InitFlags(nil)
	options := readFlags()
	if options.version {
		fmt.Printf("cAdvisor version %s (Dockyard's image kit)\n", libraryVersion)
		return
	}
	if err := serve(options); err != nil {
		klog.Exitf("cAdvisor stops: %v", err)
	}
}

// readFlags reads the command line; the metrics that are off are those that the official program has off.
func readFlags() settings {
	options := settings{disabled: container.MetricSet{}, enabled: container.MetricSet{}}
	for _, kind := range []container.MetricKind{
		container.CPUSetMetrics, container.CPUTopologyMetrics, container.HugetlbUsageMetrics,
		container.MemoryNumaMetrics, container.NetworkAdvancedTcpUsageMetrics, container.NetworkTcpUsageMetrics,
		container.NetworkUdpUsageMetrics, container.ProcessMetrics, container.ProcessSchedulerMetrics,
		container.ReferencedMemoryMetrics, container.ResctrlMetrics,
	} {
		options.disabled[kind] = struct{}{}
	}
	flag.StringVar(&options.address, "listen_ip", "", "address to listen on; all of them if empty")
	flag.IntVar(&options.port, "port", 8080, "port to listen on")
	flag.StringVar(&options.endpoint, "prometheus_endpoint", "/metrics", "path of the metrics")
	flag.BoolVar(&options.allLabels, "store_container_labels", true, "put all container labels on the metrics")
	flag.StringVar(&options.labels, "whitelisted_container_labels", "",
		"container labels to put on the metrics when store_container_labels is false, separated by commas")
	flag.StringVar(&options.environment, "env_metadata_whitelist", "",
		"prefixes of environment variables to put on the metrics, separated by commas")
	flag.StringVar(&options.cgroupPrefixes, "raw_cgroup_prefix_whitelist", "",
		"prefixes of control groups to report even with docker_only, separated by commas")
	flag.Var(&options.disabled, "disable_metrics", "metrics to leave out, separated by commas")
	flag.Var(&options.enabled, "enable_metrics", "the only metrics to have, separated by commas")
	flag.BoolVar(&options.version, "version", false, "print the version and exit")
	flag.Parse()
	return options
}

func (options settings) metrics() container.MetricSet {
	if len(options.enabled) > 0 {
		return options.enabled
	}
	return container.AllMetrics.Difference(options.disabled)
}

func (options settings) labelsOf() metrics.ContainerLabelsFunc {
	if options.allLabels {
		return metrics.DefaultContainerLabels
	}
	var wanted []string
	for _, label := range strings.Split(options.labels, ",") {
		wanted = append(wanted, strings.TrimSpace(label))
	}
	return metrics.BaseContainerLabels(wanted)
}

// serve watches the machine's containers and answers until SIGTERM or SIGINT.
func serve(options settings) error {
	included := options.metrics()
	watcher, err := manager.New(
		memory.New(storageTime, nil), sysfs.NewRealSysFs(), manager.HousekeepingConfigFlags, included,
		&http.Client{}, strings.Split(options.cgroupPrefixes, ","), strings.Split(options.environment, ","), "", 0,
	)
	if err != nil {
		return fmt.Errorf("the machine cannot be read: %w", err)
	}
	if err := watcher.Start(); err != nil {
		return fmt.Errorf("containers cannot be watched: %w", err)
	}
	server := &http.Server{
		Addr:              net.JoinHostPort(options.address, strconv.Itoa(options.port)),
		Handler:           routes(watcher, options, included),
		ReadHeaderTimeout: 10 * time.Second,
	}
	done, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-done.Done()
		_ = server.Close()
	}()
	klog.Infof("cAdvisor %s of Dockyard's image kit listens on %s", libraryVersion, server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return watcher.Stop()
}

func routes(watcher manager.Manager, options settings, included container.MetricSet) http.Handler {
	request := v2.RequestOptions{IdType: v2.TypeName, Count: 1, Recursive: true}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		metrics.NewPrometheusCollector(watcher, options.labelsOf(), included, clock.RealClock{}, request),
		metrics.NewPrometheusMachineCollector(watcher, included),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	mux := http.NewServeMux()
	mux.Handle(options.endpoint, promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("/healthz", func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(answer, "ok")
	})
	return mux
}
