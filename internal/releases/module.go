package releases

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
)

// Module is the description of one service for ship. Empty fields are filled from the
// command line, the settings of the release and the manifest, in this order. The settings
// of the release come from the site, so they name no command.
type Module struct {
	Version  string            `yaml:"version"`                                       // to ship
	Old      string            `yaml:"old"`                                           // serving now; found if one runs
	Wish     int               `yaml:"wish" default:"as many as the old version has"` // instances to wait for
	Check    string            `yaml:"check"`                                         // command that must succeed
	Strategy string            `yaml:"strategy"`                                      // concurrent, blocking or waiting
	Env      map[string]string `yaml:"env"`                                           // for the check
	Checking string            `yaml:"check_time"`                                    // time limit of the check

	// For the strategy waiting: how long to look for a moment in which no request needs the old version (default
	// 30s), and whether to stop then in place of a switch without such a moment.
	Patience time.Duration `yaml:"patience"`
	GiveUp   bool          `yaml:"give_up"`

	// The module's own bounds for the guard of a ramp, which ship stores in the release.
	MaxFailures string `yaml:"max_failures"`
	MaxP99      string `yaml:"max_p99"`
	MinCalls    string `yaml:"min_calls"`
	Guard       string `yaml:"guard"` // off: the module is not watched

	counted bool // Wish is the old version's count when ship began
}

// checkNumbers returns an error for a number outside its range.
func (m Module) checkNumbers() error {
	switch {
	case m.Wish < 0:
		return fmt.Errorf("wish: %d: want a number of instances", m.Wish)
	case m.Patience < 0:
		return errors.New("patience: want a duration such as 30s")
	}
	return nil
}

// or fills the empty fields of m from o.
func (m Module) or(o Module) Module {
	env := maps.Clone(o.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, m.Env)
	return Module{
		Version: cmp.Or(m.Version, o.Version), Old: cmp.Or(m.Old, o.Old), Wish: cmp.Or(m.Wish, o.Wish),
		Check: cmp.Or(m.Check, o.Check), Strategy: cmp.Or(m.Strategy, o.Strategy), Env: env,
		Checking: cmp.Or(m.Checking, o.Checking),
		Patience: cmp.Or(m.Patience, o.Patience), GiveUp: m.GiveUp || o.GiveUp,
		MaxFailures: cmp.Or(m.MaxFailures, o.MaxFailures), MaxP99: cmp.Or(m.MaxP99, o.MaxP99),
		MinCalls: cmp.Or(m.MinCalls, o.MinCalls), Guard: cmp.Or(m.Guard, o.Guard),
	}
}

// settings returns the checked fields of the module, with the keys of config put.
func (m Module) settings() map[string]string {
	return map[string]string{"strategy": m.Strategy, "check_time": m.Checking,
		"max_failures": m.MaxFailures, "max_p99": m.MaxP99, "min_calls": m.MinCalls, "guard": m.Guard}
}

// bounds returns the module's own bounds that differ from the known ones.
func (m Module) bounds(known map[string]string) map[string]string {
	out := map[string]string{}
	for key, value := range m.settings() {
		if slices.Contains(guardKeys, key) && value != "" && known[key] != value {
			out[key] = value
		}
	}
	return out
}

// shipKeys are the keys of settings that ship knows.
var shipKeys = append([]string{"version", "old", "wish", "check_time", "strategy", "patience", "give_up"}, guardKeys...)

// checkKey is the key that would name a command. Ship takes no command from the rule log,
// because processes and operators of the whole site write it.
const checkKey = "check"

// CheckSettings returns an error for a setting that ship would refuse later.
func CheckSettings(values map[string]string) error {
	if values[checkKey] != "" {
		return errors.New("check: a release keeps no command, as ship runs none that comes from the site; " +
			"name it in your own release.yaml (modules: MODULE: {check: COMMAND}), " +
			"or by skerry release ship MODULE --check COMMAND")
	}
	for _, key := range []string{"version", "old"} {
		if v := values[key]; v != "" {
			if err := registry.CheckName(key, v); err != nil {
				return err
			}
		}
	}
	if w := values["wish"]; w != "" {
		if n, err := strconv.Atoi(w); err != nil || n < 1 {
			return fmt.Errorf("wish=%s: want a number of instances", w)
		}
	}
	if p := values["patience"]; p != "" {
		if d, err := time.ParseDuration(p); err != nil || d <= 0 {
			return fmt.Errorf("patience=%s: want a duration such as 30s", p)
		}
	}
	if g := values["give_up"]; g != "" && g != "true" && g != "false" {
		return fmt.Errorf("give_up=%s: want true or false", g)
	}
	if _, err := parseStrategy(values["strategy"]); err != nil {
		return err
	}
	if _, err := parseCheckTime(values["check_time"]); err != nil {
		return err
	}
	_, err := boundsOf(values)
	return err
}

// moduleOf returns the module of settings. It ignores a check command in them.
func moduleOf(values map[string]string) Module {
	m := Module{Version: values["version"], Old: values["old"], Strategy: values["strategy"],
		Env: map[string]string{}, Checking: values["check_time"],
		MaxFailures: values["max_failures"], MaxP99: values["max_p99"], MinCalls: values["min_calls"],
		Guard: values["guard"]}
	m.Wish, _ = strconv.Atoi(values["wish"]) // put has checked it and the values below
	m.Patience, _ = time.ParseDuration(values["patience"])
	m.GiveUp = values["give_up"] == "true"
	for key, value := range values {
		if !slices.Contains(shipKeys, key) && key != checkKey {
			m.Env[key] = value
		}
	}
	return m
}

// parseCheckTime parses the time limit of a check.
func parseCheckTime(text string) (time.Duration, error) {
	if text == "" {
		return time.Minute, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("check_time=%s: want a time such as 30s", text)
	}
	return d, nil
}

func parseStrategy(text string) (rollout.Strategy, error) {
	switch text {
	case "", "concurrent":
		return rollout.Concurrent, nil
	case string(rollout.Blocking), string(rollout.Waiting):
		return rollout.Strategy(text), nil
	}
	return "", fmt.Errorf("strategy %q: known are concurrent, blocking, waiting", text)
}

// Environment returns the variables of the check command.
func (m Module) Environment(name string, r rollout.Release, addrs []string) []string {
	env := []string{"SKERRY_RELEASE=" + r.Name, "SKERRY_MARK=" + r.Mark, "SKERRY_MODULE=" + name,
		"SKERRY_VERSION=" + m.Version, "SKERRY_OLD=" + m.Old, "SKERRY_ADDRS=" + strings.Join(addrs, " ")}
	for _, key := range slices.Sorted(maps.Keys(m.Env)) {
		env = append(env, variableOf(key)+"="+m.Env[key])
	}
	return env
}

// variableOf returns the variable of a setting. Its prefix prevents the site from setting
// variables that the shell or skerry obeys.
func variableOf(key string) string {
	return "SKERRY_SETTING_" + strings.Map(variable, strings.ToUpper(key))
}

// variable maps characters that a variable's name can't hold to '_'.
func variable(c rune) rune {
	if c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
		return c
	}
	return '_'
}

// defaultPatience is how long strategy waiting looks for a moment without need.
const defaultPatience = 30 * time.Second

// exclusive reports whether the module's versions may not run at once.
func (m Module) exclusive() bool {
	s, _ := parseStrategy(m.Strategy) // complete has checked it
	return s.Exclusive()
}

// shipped returns the module in the form of a release.
func (m Module) shipped(name string) (rollout.Module, error) {
	strategy, err := parseStrategy(m.Strategy)
	out := rollout.Module{Service: name, Old: m.Old, New: m.Version, Strategy: strategy}
	if strategy == rollout.Waiting {
		out.Patience, out.GiveUp = cmp.Or(m.Patience, defaultPatience), m.GiveUp
	}
	return out, err
}

// CheckAll returns an error for a value of the module of a service that ship would refuse.
func (m Module) CheckAll(service string) error {
	return errors.Join(checkNames(service, m), CheckSettings(m.settings()), m.checkNumbers())
}

// CheckTime returns the time limit of the module's check.
func (m Module) CheckTime() (time.Duration, error) { return parseCheckTime(m.Checking) }
