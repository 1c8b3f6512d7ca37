// Foreign stands for the programs of another load balancer while a cluster is moved.
//
// With METALLB_NODE_NAME it is a speaker: a member of the original library that elects owners and
// answers ARP by MetalLB's rules. Without it is a controller that gives addresses to services. It
// takes what the tests need of MetalLB's environment and knows IPv4 and pools of plain ranges only;
// flags are ignored. It runs as a process with KUBECONFIG, or in a pod without. It is small, and its own: where it differs from MetalLB the tests do not look.
package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

func main() {
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	namespace := os.Getenv("METALLB_NAMESPACE")
	cluster, err := open(os.Getenv("KUBECONFIG"))
	if os.Getenv("KUBECONFIG") == "" {
		cluster, namespace, err = inside()
	}
	if err != nil {
		fail(err)
	}
	if node := os.Getenv("METALLB_NODE_NAME"); node != "" {
		err = speak(cluster, namespace, node, stop)
	} else {
		err = control(cluster, namespace, stop)
	}
	if err != nil {
		fail(err)
	}
}

// Answer the probes on a port where the original answers them.
func serveProbes(address string) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	go func() { fail(http.ListenAndServe(address, mux)) }()
}

var logLock sync.Mutex

func say(event string, keys map[string]any) {
	line := map[string]any{"event": event, "ts": time.Now().UTC().Format(time.RFC3339Nano)}
	for key, value := range keys {
		line[key] = value
	}
	logLock.Lock()
	defer logLock.Unlock()
	_ = json.NewEncoder(os.Stdout).Encode(line)
}

func fail(err error) {
	say("failed", map[string]any{"error": err.Error()})
	os.Exit(1)
}
