package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// noConfiguration answers 503 to everything, as long as nobody has given the tunnel anything else.
const noConfiguration = `{"ingress":[{"service":"http_status:503"}]}`

// rule leads the requests for a host and path to a service: an address, or a status where there is none.
type rule struct {
	Hostname      string        `json:"hostname"`
	Path          string        `json:"path"`
	Service       string        `json:"service"`
	OriginRequest originRequest `json:"originRequest"`

	path     *regexp.Regexp
	status   int
	address  *url.URL
	verifier *verifier
}

// originRequest is what the double heeds of a rule's settings: who may come in.
type originRequest struct {
	Access access `json:"access"`
}

// parseIngress reads a configuration as the API gives it out, and refuses what the official program refuses.
func parseIngress(content []byte, certificates string) ([]*rule, error) {
	var read struct {
		Ingress []*rule                `json:"ingress"`
		Warp    struct{ Enabled bool } `json:"warp-routing"`
	}
	// What the double does not know of a rule it refuses: it would pass over it.
	strict := json.NewDecoder(bytes.NewReader(content))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&read); err != nil {
		return nil, err
	}
	if len(read.Ingress) == 0 {
		return parseIngress([]byte(noConfiguration), certificates)
	}
	for i, one := range read.Ingress {
		path, err := regexp.Compile(one.Path)
		if err := errors.Join(err, one.leadTo(), one.checkName(i == len(read.Ingress)-1)); err != nil {
			return nil, err
		}
		one.path = path
		if one.OriginRequest.Access.Required {
			one.verifier = newVerifier(one.OriginRequest.Access, certificates)
		}
	}
	return read.Ingress, nil
}

func (r *rule) leadTo() (err error) {
	if text, found := strings.CutPrefix(r.Service, "http_status:"); found {
		if r.status, err = strconv.Atoi(text); err != nil || r.status < 100 || r.status > 999 {
			return fmt.Errorf("invalid HTTP status code: %s", text)
		}
		return nil
	}
	if r.address, err = url.Parse(r.Service); err != nil || r.address.Hostname() == "" || r.address.Path != "" {
		return fmt.Errorf("%s is an invalid address: ingress rules lead to a scheme and a host, without a path", r.Service)
	}
	if r.address.Scheme != "http" && r.address.Scheme != "https" {
		return fmt.Errorf("the double of cloudflared leads to http and https only, not to %s", r.Service)
	}
	return nil
}

func (r *rule) checkName(last bool) error {
	catchesAll := (r.Hostname == "" || r.Hostname == "*") && r.Path == ""
	if strings.Contains(r.Hostname, ":") || strings.LastIndex(r.Hostname, "*") > 0 || catchesAll != last {
		return fmt.Errorf("the hostname %q is wrong: no port, one wildcard at the start, all hosts in the last rule only", r.Hostname)
	}
	return nil
}

// matchingRule returns the first rule for a host, with or without a port, and a path. The last one matches all.
func matchingRule(rules []*rule, host, path string) *rule {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	for _, one := range rules {
		named := one.Hostname == "" || one.Hostname == "*" || one.Hostname == host ||
			strings.HasPrefix(one.Hostname, "*.") && strings.HasSuffix(host, one.Hostname[1:])
		if named && one.path.MatchString(path) {
			return one
		}
	}
	return rules[len(rules)-1]
}
