package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A cluster is an API server and who we are to it: by a certificate, or in a pod by a token.
type cluster struct {
	server    string
	client    *http.Client
	tokenFile string
}

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

// What is read of any object.
type object struct {
	Kind     string `json:"kind,omitempty"`
	Metadata struct {
		Name            string            `json:"name,omitempty"`
		Namespace       string            `json:"namespace,omitempty"`
		ResourceVersion string            `json:"resourceVersion,omitempty"`
		Labels          map[string]string `json:"labels,omitempty"`
	} `json:"metadata"`
	Spec struct {
		Type      string   `json:"type,omitempty"`
		Addresses []string `json:"addresses,omitempty"`
	} `json:"spec"`
	Status struct {
		PodIP        string `json:"podIP,omitempty"`
		LoadBalancer struct {
			Ingress []struct {
				IP string `json:"ip"`
			} `json:"ingress"`
		} `json:"loadBalancer"`
	} `json:"status"`
	Endpoints []struct {
		Conditions struct {
			Ready   *bool `json:"ready"`
			Serving *bool `json:"serving"`
		} `json:"conditions"`
	} `json:"endpoints,omitempty"`
}

func (o object) key() string { return o.Metadata.Namespace + "/" + o.Metadata.Name }

// Inside gives the cluster that our pod runs in, and its namespace.
func inside() (*cluster, string, error) {
	certificate, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return nil, "", err
	}
	namespace, err := os.ReadFile(account + "namespace")
	if err != nil {
		return nil, "", err
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(certificate)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authorities}}
	server := "https://" + net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	return &cluster{server, &http.Client{Transport: transport}, account + "token"}, string(namespace), nil
}

// Open reads a kubeconfig that has everything embedded, one value a line.
func open(file string) (*cluster, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	value := func(key string) []byte {
		found := regexp.MustCompile(`(?m)^\s*` + key + `:\s*(\S+)\s*$`).FindSubmatch(raw)
		if found == nil {
			return nil
		}
		return found[1]
	}
	decoded := func(key string) []byte {
		data, _ := base64.StdEncoding.DecodeString(string(value(key)))
		return data
	}
	pair, err := tls.X509KeyPair(decoded("client-certificate-data"), decoded("client-key-data"))
	if err != nil {
		return nil, err
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(decoded("certificate-authority-data"))
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: authorities}
	transport := &http.Transport{TLSClientConfig: config}
	return &cluster{strings.TrimSuffix(string(value("server")), "/"), &http.Client{Transport: transport}, ""}, nil
}

func (c *cluster) ask(method, path, kind string, body []byte) (io.ReadCloser, error) {
	request, err := http.NewRequest(method, c.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", kind)
	if c.tokenFile != "" {
		token, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+string(token))
	}
	response, err := c.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		return nil, fmt.Errorf("%s %s: %s %s", method, path, response.Status, text)
	}
	return response.Body, nil
}

func (c *cluster) list(path string) (map[string]object, string, error) {
	body, err := c.ask("GET", path, "application/json", nil)
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	var found struct {
		Metadata struct{ ResourceVersion string } `json:"metadata"`
		Items    []object                         `json:"items"`
	}
	if err := json.NewDecoder(body).Decode(&found); err != nil {
		return nil, "", err
	}
	objects := map[string]object{}
	for _, each := range found.Items {
		objects[each.key()] = each
	}
	return objects, found.Metadata.ResourceVersion, nil
}

// A copy of all objects of one kind, kept up to date.
type copied struct {
	mu      sync.Mutex
	objects map[string]object
}

func (k *copied) all() map[string]object {
	k.mu.Lock()
	defer k.mu.Unlock()
	found := make(map[string]object, len(k.objects))
	for key, each := range k.objects {
		found[key] = each
	}
	return found
}

// Follow lists and watches for ever; whatever changed rings the bell. It returns with the first list.
func (c *cluster) follow(path string, bell chan<- struct{}) *copied {
	k := &copied{}
	first := make(chan struct{})
	go func() {
		for once := true; ; {
			objects, version, err := c.list(path)
			if err == nil {
				k.mu.Lock()
				k.objects = objects
				k.mu.Unlock()
				ring(bell)
				if once {
					close(first)
					once = false
				}
				err = c.watch(path, version, k, bell)
			}
			say("watch.again", map[string]any{"path": path, "error": fmt.Sprint(err)})
			time.Sleep(500 * time.Millisecond)
		}
	}()
	<-first
	return k
}

func (c *cluster) watch(path, version string, k *copied, bell chan<- struct{}) error {
	body, err := c.ask("GET", path+"?watch=1&resourceVersion="+version, "application/json", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	for lines := json.NewDecoder(body); ; {
		var line struct {
			Type   string `json:"type"`
			Object object `json:"object"`
		}
		if err := lines.Decode(&line); err != nil {
			return err
		}
		if line.Type == "ERROR" {
			return fmt.Errorf("the watch is too old")
		}
		k.mu.Lock()
		if line.Type == "DELETED" {
			delete(k.objects, line.Object.key())
		} else {
			k.objects[line.Object.key()] = line.Object
		}
		k.mu.Unlock()
		ring(bell)
	}
}

func ring(bell chan<- struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}
