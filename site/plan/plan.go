package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/skerry/skerry/internal/yamlfile"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/site/artifact"
)

// Namespace is that of the signature of a plan: ssh-keygen -Y sign -n skerry-plan.
const Namespace = "skerry-plan"

// The bounds of a plan.
const (
	maxServices = 500
	maxOnHost   = 200      // instances of one version on one host
	maxChosen   = 1000     // instances that a selector chooses hosts for
	maxConfig   = 64 << 10 // bytes of one configuration
	maxReason   = 500      // bytes
)

// Plan is what runs where on a site.
type Plan struct {
	Number   int64              `yaml:"plan"`   // each later plan has a higher one
	Parent   string             `yaml:"parent"` // digest of the plan before; of the first: empty
	Cluster  string             `yaml:"cluster"`
	Reason   string             `yaml:"reason"` // why it was made, for the history
	Services map[string]Service `yaml:"services"`
}

// Service is what a plan says of one service.
type Service struct {
	User   string         `yaml:"user"` // as which its instances run; the host must allow it
	Limits Limits         `yaml:"limits"`
	Ports  string         `yaml:"ports"`  // FIRST-LAST, from which each instance gets its own; empty: port 0
	Config string         `yaml:"config"` // text with ${port}, ${host}, ${secret:NAME}, …; its file is ${config}
	Run    map[string]Run `yaml:"run"`    // by version

	// Restarts is raised by one to restart each instance, one after the other on each host.
	Restarts int `yaml:"restarts" json:",omitzero"`
}

// Limits bound each instance. Zero values are no limit.
type Limits struct {
	Memory    int64  `yaml:"memory" unit:"bytes"`
	CPU       string `yaml:"cpu"` // 150% is one core and a half
	Files     int    `yaml:"files"`
	Processes int    `yaml:"processes"`
}

// Run is where one version of a service runs.
type Run struct {
	Artifacts map[string]string `yaml:"artifacts"` // digest, by platform: linux/amd64, or any
	Hosts     map[string]int    `yaml:"hosts"`     // number of instances, by host
	On        Selector          `yaml:"on"`        // by which Hosts were chosen; agents go by Hosts alone
}

// Selector chooses hosts by their labels.
type Selector struct {
	Labels map[string]string `yaml:"labels"` // all of which a host has
	Count  int               `yaml:"count"`  // instances, spread over these hosts; 0: there is no selector
}

// Parse reads a plan as it is signed. path names it in errors.
func Parse(path string, text []byte) (*Plan, error) { return parse(path, text, true) }

// ParseDraft reads a plan as an operator writes it: its number, its parent, the digests of artifacts, and the hosts
// that a selector chooses may be left out. [Plan.Resolve] writes them in.
func ParseDraft(path string, text []byte) (*Plan, error) { return parse(path, text, false) }

func parse(path string, text []byte, whole bool) (*Plan, error) {
	p := &Plan{}
	doc := yamlfile.Decode(text, p, nil)
	if len(doc.Problems) == 0 {
		p.check(whole, func(key, format string, args ...any) {
			doc.Problems = append(doc.Problems, yamlfile.Problem{Line: doc.Lines[key], Column: doc.Columns[key],
				Key: key, Text: fmt.Sprintf(format, args...)})
		})
	}
	if len(doc.Problems) > 0 {
		return nil, &yamlfile.Error{File: path, Problems: doc.Problems}
	}
	return p, nil
}

func (p *Plan) check(whole bool, wrong func(key, format string, args ...any)) {
	if p.Number < 1 && (whole || p.Number < 0) {
		wrong("plan", "the number of the plan must be 1 or more")
	}
	if err := registry.CheckName("cluster", p.Cluster); err != nil {
		wrong("cluster", "%v", err)
	}
	if p.Parent != "" {
		if _, err := artifact.ParseDigest(p.Parent); err != nil {
			wrong("parent", "%v", err)
		}
	}
	if len(p.Reason) > maxReason || strings.ContainsFunc(p.Reason, unicode.IsControl) {
		wrong("reason", "a reason is one line of at most %d bytes", maxReason)
	}
	if len(p.Services) > maxServices {
		wrong("services", "%d services, at most %d are allowed", len(p.Services), maxServices)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		key := "services." + name
		if err := registry.CheckName("service", name); err != nil {
			wrong(key, "%v", err)
		}
		p.Services[name].check(key, whole, wrong)
	}
}

func (s Service) check(key string, whole bool, wrong func(key, format string, args ...any)) {
	if _, _, err := parsePorts(s.Ports); err != nil {
		wrong(key+".ports", "%v", err)
	}
	if _, err := s.Limits.Percent(); err != nil {
		wrong(key+".limits.cpu", "%v", err)
	}
	if l := s.Limits; l.Memory < 0 || l.Files < 0 || l.Processes < 0 {
		wrong(key+".limits", "a limit is negative; leave it out for no limit")
	}
	if len(s.Config) > maxConfig {
		wrong(key+".config", "it has %d bytes, at most %d are allowed", len(s.Config), maxConfig)
	}
	if s.Restarts < 0 {
		wrong(key+".restarts", "it is negative; it counts restarts")
	}
	for _, version := range slices.Sorted(maps.Keys(s.Run)) {
		key := key + ".run." + version
		if err := registry.CheckName("version", version); err != nil || version == "" {
			wrong(key, "%v", cmp.Or(err, fmt.Errorf("the version is empty")))
		}
		s.Run[version].check(key, whole, wrong)
	}
}

func (r Run) check(key string, whole bool, wrong func(key, format string, args ...any)) {
	if whole && len(r.Artifacts) == 0 {
		wrong(key+".artifacts", "name the digest of an artifact for each platform, such as linux/amd64")
	}
	for _, platform := range slices.Sorted(maps.Keys(r.Artifacts)) {
		if err := checkPlatform(platform); err != nil {
			wrong(key+".artifacts."+platform, "%v", err)
		}
		if _, err := artifact.ParseDigest(r.Artifacts[platform]); err != nil {
			wrong(key+".artifacts."+platform, "%v", err)
		}
	}
	sum := 0
	for _, host := range slices.Sorted(maps.Keys(r.Hosts)) {
		if n := r.Hosts[host]; n < 0 || n > maxOnHost {
			wrong(key+".hosts."+host, "%d instances; 0 to %d are allowed", n, maxOnHost)
		}
		if err := registry.CheckName("host", host); err != nil {
			wrong(key+".hosts."+host, "%v", err)
		}
		sum += r.Hosts[host]
	}
	r.On.check(key+".on", wrong)
	if whole && r.On.Count > 0 && sum != r.On.Count {
		wrong(key+".hosts", "%d instances, and on.count is %d: skerry site apply writes the hosts that on chooses", sum,
			r.On.Count)
	}
}

func (s Selector) check(key string, wrong func(key, format string, args ...any)) {
	if s.Count < 0 || s.Count > maxChosen || s.Count == 0 && len(s.Labels) > 0 {
		wrong(key+".count", "%d instances; 1 to %d are allowed", s.Count, maxChosen)
	}
	for _, label := range slices.Sorted(maps.Keys(s.Labels)) {
		err := registry.CheckName("label", label)
		if err := cmp.Or(err, registry.CheckName("value", s.Labels[label])); err != nil {
			wrong(key+".labels."+label, "%v", err)
		}
	}
}

// checkPlatform checks a key of Run.Artifacts.
func checkPlatform(text string) error {
	system, machine, both := strings.Cut(text, "/")
	if text == "any" || both && registry.CheckName("", system) == nil && registry.CheckName("", machine) == nil {
		return nil
	}
	return fmt.Errorf("%.40q is no platform; write one such as linux/amd64, or any", text)
}

// Percent is the limit of CPU in percent of one core; 0: none.
func (l Limits) Percent() (int, error) {
	if l.CPU == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(l.CPU, "%"))
	if err != nil || n < 1 || n > 100_000 || !strings.HasSuffix(l.CPU, "%") {
		return 0, fmt.Errorf("%q is no share of a processor; write 150%% for one core and a half", l.CPU)
	}
	return n, nil
}

// parsePorts reads FIRST-LAST, or one port. Both are 0 for an empty text.
func parsePorts(text string) (first, last int, err error) {
	if text == "" {
		return 0, 0, nil
	}
	from, to, both := strings.Cut(text, "-")
	if !both {
		to = from
	}
	first, err1 := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil || first < 1 || last > 65535 || first > last {
		return 0, 0, fmt.Errorf("%q are no ports; write FIRST-LAST within 1-65535", text)
	}
	return first, last, nil
}

// Instance names one instance on a host.
type Instance struct {
	Service string
	Version string
	N       int // 1 for the first of its version
}

// String is SERVICE/VERSION#N.
func (i Instance) String() string { return fmt.Sprintf("%s/%s#%d", i.Service, i.Version, i.N) }

// Compare orders instances by their names, and by their numbers.
func (i Instance) Compare(j Instance) int {
	return cmp.Or(strings.Compare(i.Service, j.Service), strings.Compare(i.Version, j.Version), i.N-j.N)
}

// Wanted is an instance that a plan wants on a host.
type Wanted struct {
	Instance
	Artifact artifact.Digest // empty: the plan has none for the platform
	Service  Service         // without its versions
	Hash     string          // of all of this: another hash is another instance
}

// On returns what the plan wants on a host of a platform such as linux/amd64, sorted.
func (p *Plan) On(host, platform string) []Wanted {
	var all []Wanted
	for name, s := range p.Services {
		for version, r := range s.Run {
			digest := artifact.Digest(cmp.Or(r.Artifacts[platform], r.Artifacts["any"]))
			w := Wanted{Artifact: digest, Service: s}
			w.Service.Run = nil
			w.Hash = w.hash()
			for n := range r.Hosts[host] {
				w.Instance = Instance{name, version, n + 1}
				all = append(all, w)
			}
		}
	}
	slices.SortFunc(all, func(a, b Wanted) int { return a.Instance.Compare(b.Instance) })
	return all
}

func (w Wanted) hash() string {
	text, err := json.Marshal(struct {
		Artifact artifact.Digest
		Service  Service
	}{w.Artifact, w.Service})
	if err != nil {
		panic(err) // texts and numbers only
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
