package form

import (
	"time"

	"github.com/skerry/skerry/internal/yamlfile"
)

// file is the text of a policy.
type file struct {
	Policy   string             `yaml:"policy"`
	Services map[string]service `yaml:"services"`
	Lanes    []lane             `yaml:"lanes"`
	Plans    map[string]plan    `yaml:"plans"`
}

type plan struct {
	Why      string             `yaml:"why"`
	Services map[string]service `yaml:"services"`
}

type service struct {
	Timeout        *time.Duration    `yaml:"timeout"`
	Wait           *time.Duration    `yaml:"wait"`
	AttemptTimeout *time.Duration    `yaml:"attempt_timeout"`
	Retries        *int              `yaml:"retries"`
	Idempotent     []string          `yaml:"idempotent"`
	Balancer       *string           `yaml:"balancer"`
	ZoneFirst      *bool             `yaml:"zone_first"`
	Breaker        breaker           `yaml:"breaker"`
	Outlier        outlier           `yaml:"outlier"`
	MaxPending     *int              `yaml:"max_pending"`
	MaxRate        *int              `yaml:"max_rate"`
	Methods        map[string]method `yaml:"methods"`
	Weights        []weight          `yaml:"weights"`
	Route          []route           `yaml:"route"`
	Limits         []limit           `yaml:"limits"`
	Access         *access           `yaml:"access"`
	Fallback       []fallback        `yaml:"fallback"`
	Faults         []fault           `yaml:"faults"`
	Mirror         []mirror          `yaml:"mirror"`
}

// items is the number of items in the text.
func (f *file) items() int {
	n := len(f.Lanes)
	for _, s := range f.Services {
		n += s.items()
	}
	for _, p := range f.Plans {
		for _, s := range p.Services {
			n += s.items()
		}
	}
	return n
}

func (s service) items() int {
	n := len(s.Weights) + len(s.Route) + len(s.Limits) + len(s.Fallback) + len(s.Faults) + len(s.Mirror)
	if s.Access != nil {
		n += len(s.Access.Allow) + len(s.Access.Deny)
	}
	return n
}

type method struct {
	Timeout        *time.Duration `yaml:"timeout"`
	Wait           *time.Duration `yaml:"wait"`
	AttemptTimeout *time.Duration `yaml:"attempt_timeout"`
	Retries        *int           `yaml:"retries"`
	Breaker        breaker        `yaml:"breaker"`
	MaxPending     *int           `yaml:"max_pending"`
	MaxRate        *int           `yaml:"max_rate"`
}

type breaker struct {
	Off    *bool          `yaml:"off"`
	Ratio  *int           `yaml:"ratio"`
	Calls  *int           `yaml:"calls"`
	Window *time.Duration `yaml:"window"`
}

type outlier struct {
	Failures   *int           `yaml:"failures"`
	Eject      *time.Duration `yaml:"eject"`
	MaxEjected *int           `yaml:"max_ejected"`
}

type access struct {
	Mode    string   `yaml:"mode"`
	Default string   `yaml:"default"`
	Allow   []grants `yaml:"allow"`
	Deny    []grants `yaml:"deny"`
}

type match struct {
	Method        []string            `yaml:"method"`
	Caller        []string            `yaml:"caller"`
	CallerVersion []string            `yaml:"caller_version"`
	Zone          []string            `yaml:"zone"`
	Host          []string            `yaml:"host"`
	Version       []string            `yaml:"version"`
	Mark          []string            `yaml:"mark"`
	Tag           map[string][]string `yaml:"tag"`
	Baggage       map[string][]string `yaml:"baggage"`
	Tenant        []string            `yaml:"tenant"`
	Header        map[string][]string `yaml:"header"`
	Cookie        map[string][]string `yaml:"cookie"`
	Path          []string            `yaml:"path"`
	IP            []string            `yaml:"ip"`
	Percent       string              `yaml:"percent"`
}

type target struct {
	Zone    []string            `yaml:"zone"`
	Host    []string            `yaml:"host"`
	Tag     map[string][]string `yaml:"tag"`
	Version string              `yaml:"version"`
}

type route struct {
	Name    string        `yaml:"name"`
	Match   match         `yaml:"match"`
	To      target        `yaml:"to"`
	Else    string        `yaml:"else"`
	Percent string        `yaml:"percent"`
	Expires time.Duration `yaml:"expires"`
	Why     string        `yaml:"why"`
}

type weight struct {
	Name    string              `yaml:"name"`
	Zone    []string            `yaml:"zone"`
	Host    []string            `yaml:"host"`
	Tag     map[string][]string `yaml:"tag"`
	Weight  *int                `yaml:"weight"`
	Expires time.Duration       `yaml:"expires"`
	Why     string              `yaml:"why"`
}

type limit struct {
	Name    string        `yaml:"name"`
	Match   match         `yaml:"match"`
	Pending int           `yaml:"pending"`
	Rate    int           `yaml:"rate"`
	Burst   int           `yaml:"burst"`
	Per     string        `yaml:"per"`
	Expires time.Duration `yaml:"expires"`
	Why     string        `yaml:"why"`
}

// grants is an entry of access. Its conditions stand in it directly.
type grants struct {
	Name          string              `yaml:"name"`
	Method        []string            `yaml:"method"`
	Caller        []string            `yaml:"caller"`
	CallerVersion []string            `yaml:"caller_version"`
	Zone          []string            `yaml:"zone"`
	Host          []string            `yaml:"host"`
	Version       []string            `yaml:"version"`
	Mark          []string            `yaml:"mark"`
	Tag           map[string][]string `yaml:"tag"`
	Baggage       map[string][]string `yaml:"baggage"`
	Tenant        []string            `yaml:"tenant"`
	Expires       time.Duration       `yaml:"expires"`
	Why           string              `yaml:"why"`
}

type fallback struct {
	Name    string        `yaml:"name"`
	Match   match         `yaml:"match"`
	On      []string      `yaml:"on"`
	Reply   yamlfile.JSON `yaml:"reply"`
	Percent string        `yaml:"percent"`
	Expires time.Duration `yaml:"expires"`
	Why     string        `yaml:"why"`
}

type fault struct {
	Name    string        `yaml:"name"`
	Match   match         `yaml:"match"`
	Delay   time.Duration `yaml:"delay"`
	Error   string        `yaml:"error"`
	Percent string        `yaml:"percent"`
	Expires time.Duration `yaml:"expires"`
	Why     string        `yaml:"why"`
}

type mirror struct {
	Name    string        `yaml:"name"`
	Match   match         `yaml:"match"`
	To      lanes         `yaml:"to"`
	Percent string        `yaml:"percent"`
	Expires time.Duration `yaml:"expires"`
	Why     string        `yaml:"why"`
}

type lanes struct {
	Mark string `yaml:"mark"`
}

type lane struct {
	Name    string        `yaml:"name"`
	Match   match         `yaml:"match"`
	Gets    string        `yaml:"gets"`
	Percent string        `yaml:"percent"`
	Expires time.Duration `yaml:"expires"`
	Why     string        `yaml:"why"`
}
