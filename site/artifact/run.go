package artifact

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/registry"
)

// Run says how an instance is started, checked and stopped. It is part of the signed manifest: neither a plan nor a
// configuration brings a command line.
type Run struct {
	// Command is ./PATH of an executable file of the artifact, an absolute path, or the plain name of a program of
	// the host such as java.
	Command string `json:"command" yaml:"command"`

	// Args and the values of Env may contain variables. ${dir} is the directory of the unpacked artifact, ${config}
	// the file of the plan's configuration, ${state} a directory that outlives versions, ${port} the first of Ports
	// and ${port:NAME} the named one. ${host}, ${service}, ${version} and ${instance} name the instance.
	// ${secret:NAME} is the path of a file of the host. $${ stands for ${.
	Args []string          `json:"args,omitempty" yaml:"args"`
	Env  map[string]string `json:"env,omitempty" yaml:"env"`

	// Ports are the names of the TCP ports that the instance listens on. The plan gives them numbers.
	Ports []string `json:"ports,omitempty" yaml:"ports"`

	// Check tells that an instance is up: tcp, thrift, thrift:METHOD or http:/PATH, at the first port. Without it
	// the instance is up when the registry lists it, as it does for a program with skerry in it.
	Check string `json:"check,omitempty" yaml:"check"`

	// Protocol is what the first port speaks, as in skerry announce; "" is framed-binary. The check and the proxy
	// need it.
	Protocol string `json:"protocol,omitempty" yaml:"protocol"`

	// Proxy makes a program of another language a member of the site: the agent runs a skerry proxy beside it, whose
	// socket is in $SKERRY_PROXY, and which lists the first port, if there is one, under service and version.
	Proxy *Proxy `json:"proxy,omitempty" yaml:"proxy"`

	Stop Stop `json:"stop" yaml:"stop"`
}

// Proxy says what a proxy has to know of a program. The zero value is for a program with a helper and few threads.
type Proxy struct {
	Concurrency int      `json:"concurrency,omitempty" yaml:"concurrency"` // its threads less one; 0: 16
	Multiplexed bool     `json:"multiplexed,omitempty" yaml:"multiplexed"` // it has a TMultiplexedProcessor
	Unordered   bool     `json:"unordered,omitempty" yaml:"unordered"`     // its clients match replies by number
	Calls       []string `json:"calls,omitempty" yaml:"calls"`             // services that it calls
	Entry       []string `json:"entry,omitempty" yaml:"entry"`             // methods for requests from outside
}

// Stop says how an instance is asked to end.
type Stop struct {
	// Signal is term, int, quit, hup or break; "" means term. Windows sends ctrl-break for term, quit and break, and
	// ctrl-c for int; it has no hup.
	Signal string `yaml:"signal"`

	// After this time the instance is killed: 1 s to 1 h in whole milliseconds, 45 s when it is 0.
	After time.Duration `yaml:"after"`
}

const (
	defaultStop = 45 * time.Second
	minStop     = time.Second
	maxStop     = time.Hour

	maxArgs    = 256
	maxRunText = 32 << 10 // bytes of the command, its arguments and its environment
	maxPorts   = 16
	maxNames   = 256 // in each list of a Proxy

	maxConcurrency = 10_000
)

// signals are the values of [Stop.Signal].
var signals = []string{"term", "int", "quit", "hup", "break"}

type stopJSON struct {
	Signal string `json:"signal"`
	After  string `json:"after"`
}

// MarshalJSON writes the signal by name and the time with its unit.
func (s Stop) MarshalJSON() ([]byte, error) {
	return json.Marshal(stopJSON{s.Signal, s.After.String()})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Stop) UnmarshalJSON(text []byte) (err error) {
	var j stopJSON
	if err = json.Unmarshal(text, &j); err != nil {
		return err
	}
	s.Signal = j.Signal
	if s.After, err = time.ParseDuration(j.After); err != nil {
		return fmt.Errorf("run.stop.after: %q is no duration such as 45s", j.After)
	}
	return nil
}

// withDefaults fills in what the description leaves out.
func (r Run) withDefaults() Run {
	if r.Stop.Signal == "" {
		r.Stop.Signal = signals[0]
	}
	if r.Stop.After == 0 {
		r.Stop.After = defaultStop
	}
	return r
}

func (r Run) validate(files []File) error {
	if err := r.checkCommand(files); err != nil {
		return err
	}
	if err := r.checkTexts(); err != nil {
		return err
	}
	if len(r.Ports) > maxPorts {
		return fmt.Errorf("run.ports: %d ports, at most %d are taken", len(r.Ports), maxPorts)
	}
	for i, p := range r.Ports {
		if !plainName(p) || slices.Contains(r.Ports[:i], p) {
			return fmt.Errorf("run.ports: %.40q; a port has a name of its own of letters, digits, - and _", p)
		}
	}
	if r.Check != "" && !checkForm(r.Check) {
		return fmt.Errorf("run.check: %.80q; write tcp, thrift, thrift:METHOD or http:/PATH", r.Check)
	}
	if r.Check != "" && len(r.Ports) == 0 {
		return errors.New("run.check: a check needs a port; name it in run.ports")
	}
	if r.Protocol != "" && !slices.Contains(protocols, registry.Protocol(r.Protocol)) {
		return fmt.Errorf("run.protocol: %.40q is none of %v", r.Protocol, protocols)
	}
	if err := r.Proxy.validate(); err != nil {
		return fmt.Errorf("run.proxy: %w", err)
	}
	if r.Proxy != nil && strings.HasPrefix(r.Check, "http:") {
		return errors.New("run.check: a proxy forwards Thrift, so that the check is tcp, thrift or thrift:METHOD")
	}
	if !slices.Contains(signals, r.Stop.Signal) {
		return fmt.Errorf("run.stop.signal: %.20q; write one of %s", r.Stop.Signal, strings.Join(signals, ", "))
	}
	if r.Stop.After < minStop || r.Stop.After > maxStop || r.Stop.After%time.Millisecond != 0 {
		return fmt.Errorf("run.stop.after: %v; write %v to %v, in whole milliseconds", r.Stop.After, minStop, maxStop)
	}
	return nil
}

// protocols are those of a program that a proxy or a check can speak to.
var protocols = []registry.Protocol{registry.ProtocolHeader, registry.ProtocolFramedBinary,
	registry.ProtocolFramedCompact, registry.ProtocolUnframedBinary, registry.ProtocolUnframedCompact}

func (p *Proxy) validate() error {
	if p == nil {
		return nil
	}
	if p.Concurrency < 0 || p.Concurrency > maxConcurrency {
		return fmt.Errorf("concurrency %d; write 1 to %d, the threads of the program less one", p.Concurrency,
			maxConcurrency)
	}
	for _, list := range [][]string{p.Calls, p.Entry} {
		if len(list) > maxNames {
			return fmt.Errorf("a list has %d names, at most %d are taken", len(list), maxNames)
		}
		for _, name := range list {
			if err := registry.CheckName("name", name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r Run) checkCommand(files []File) error {
	own, isOwn := strings.CutPrefix(r.Command, "./")
	switch {
	case r.Command == "":
		return errors.New("run.command: it is missing; write ./PATH of a file of the artifact")
	case strings.Contains(r.Command, "${"):
		return errors.New("run.command: variables are for arguments and the environment only")
	case isOwn:
		i := slices.IndexFunc(files, func(f File) bool { return f.Path == own })
		if i < 0 {
			return fmt.Errorf("run.command: the artifact has no file %.120q", own)
		}
		if !files[i].Executable {
			return fmt.Errorf("run.command: %.120q is not executable; run chmod +x on it", own)
		}
	case !absolute(r.Command) && strings.ContainsAny(r.Command, `/\:`):
		return fmt.Errorf("run.command: %.120q; write ./PATH of a file of the artifact, an absolute path, or the name "+
			"of a program of the host", r.Command)
	}
	return nil
}

// absolute reports whether a path is absolute on the systems of skerry: /x, or C:\x.
func absolute(p string) bool {
	return strings.HasPrefix(p, "/") || len(p) > 3 && p[1] == ':' && (p[2] == '\\' || p[2] == '/')
}

func (r Run) checkTexts() error {
	if len(r.Args) > maxArgs || len(r.Env) > maxArgs {
		return fmt.Errorf("run: %d arguments and %d variables, at most %d each are taken", len(r.Args), len(r.Env),
			maxArgs)
	}
	size := len(r.Command)
	for i, text := range r.Args {
		size += len(text)
		if err := r.checkText(text); err != nil {
			return fmt.Errorf("run.args[%d]: %w", i, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		size += len(name) + len(r.Env[name])
		if !plainName(name) {
			return fmt.Errorf("run.env: %.40q is no name of letters, digits, - and _", name)
		}
		if err := r.checkText(r.Env[name]); err != nil {
			return fmt.Errorf("run.env.%s: %w", name, err)
		}
	}
	if size > maxRunText {
		return fmt.Errorf("run: %d bytes of texts, at most %d are taken", size, maxRunText)
	}
	return nil
}

func (r Run) checkText(text string) error {
	if strings.ContainsRune(text, 0) {
		return errors.New("it has a zero byte")
	}
	_, err := expand(text, func(name string) (string, bool) { return "", r.knows(name) })
	return err
}

// knows reports whether a variable has a meaning for this description.
func (r Run) knows(name string) bool {
	kind, rest, named := strings.Cut(name, ":")
	switch {
	case name == "port":
		return len(r.Ports) > 0
	case kind == "port" && named:
		return slices.Contains(r.Ports, rest)
	case kind == "secret" && named:
		return plainName(rest)
	}
	return slices.Contains([]string{"dir", "config", "state", "host", "service", "version", "instance"}, name)
}

// Expand returns the arguments and the environment (NAME=value, sorted) with the values of their variables. It fails
// for a variable that value does not know.
func (r Run) Expand(value func(name string) (string, bool)) (args, env []string, err error) {
	for _, text := range r.Args {
		text, err := expand(text, value)
		if err != nil {
			return nil, nil, err
		}
		args = append(args, text)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		text, err := expand(r.Env[name], value)
		if err != nil {
			return nil, nil, err
		}
		env = append(env, name+"="+text)
	}
	return args, env, nil
}

// expand replaces ${NAME}, and $${ by ${. A value is not looked at again.
func expand(text string, value func(string) (string, bool)) (string, error) {
	var out strings.Builder
	for {
		at := strings.Index(text, "${")
		if at < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		if at > 0 && text[at-1] == '$' {
			out.WriteString(text[:at-1] + "${")
			text = text[at+2:]
			continue
		}
		name, rest, closed := strings.Cut(text[at+2:], "}")
		if !closed {
			return "", fmt.Errorf("%.60q: a } is missing", text[at:])
		}
		v, known := value(name)
		if !known {
			return "", fmt.Errorf("the variable ${%.60s} is not known", name)
		}
		out.WriteString(text[:at] + v)
		text = rest
	}
}

// checkForm reports whether a check has one of its forms.
func checkForm(check string) bool {
	kind, rest, named := strings.Cut(check, ":")
	return check == "tcp" || check == "thrift" || kind == "thrift" && named && plainName(rest) ||
		kind == "http" && strings.HasPrefix(rest, "/") && len(rest) < maxPath
}

// plainName reports whether a name has 1 to 63 letters, digits, dashes and underscores.
func plainName(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return s != "" && len(s) <= 63 && strings.Trim(s, letters+"0123456789-_") == ""
}
