package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/site/agent/shim"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/plan"
)

// record says for what an instance was started.
type record struct {
	plan.Instance
	Hash     string          `json:"hash"`
	Artifact artifact.Digest `json:"artifact"`
	Ports    []int           `json:"ports,omitempty"`
	Check    string          `json:"check,omitempty"`    // that tells when it is up
	Protocol string          `json:"protocol,omitempty"` // of the first port
	Proxy    bool            `json:"proxy,omitempty"`    // a proxy is beside it
}

// dirName is the directory of an instance. A socket's path has about 100 bytes, so that long names are shortened.
func dirName(i plan.Instance) string {
	name := fmt.Sprintf("%s~%s~%d", i.Service, i.Version, i.N)
	if len(name) > 40 {
		sum := sha256.Sum256([]byte(name))
		name = name[:20] + "~" + hex.EncodeToString(sum[:8])
	}
	return name
}

func (a *Agent) instanceDir(i plan.Instance) string {
	return filepath.Join(a.config.Dir, "instances", dirName(i))
}

func (a *Agent) workDir(i plan.Instance) string {
	return filepath.Join(a.config.Dir, "work", dirName(i))
}

// start starts a shim for a step, with an artifact that is approved.
func (a *Agent) start(ctx context.Context, s plan.Step, found artifact.Artifact, user *account) error {
	if err := a.store.Pin(ctx, found.Digest, instancePin(s.Instance)); err != nil {
		return err
	}
	unpacked := filepath.Join(a.config.Dir, "artifacts", unpackedName(found.Digest))
	if err := a.store.Stage(ctx, found.Digest, a.builders, unpacked); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	spec, err := a.spec(s, found.Manifest, unpacked, user)
	if err != nil {
		return err
	}
	dir := a.instanceDir(s.Instance)
	if err := statedir.Make(dir); err != nil {
		return err
	}
	run := found.Manifest.Run
	if run.Proxy != nil {
		spec.Env = append(spec.Env, "SKERRY_PROXY=unix:"+a.proxySocket(s.Instance))
	}
	r := record{Instance: s.Instance, Hash: s.Wanted.Hash, Artifact: found.Digest, Ports: s.Ports, Check: run.Check,
		Protocol: cmp.Or(run.Protocol, string(registry.ProtocolFramedBinary)), Proxy: run.Proxy != nil}
	if r.Check != "" && r.Ports[0] == 0 {
		return fmt.Errorf("the check of the artifact needs to know the port; give %s ports in the plan",
			s.Instance.Service)
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := statedir.WriteFile(filepath.Join(dir, "instance.json"), text); err != nil {
		return err
	}
	if err := spec.Write(dir); err != nil {
		return err
	}
	err = spawn(ctx, a.command, dir)
	a.watches.begin(ctx, dir, r) // also of one that has failed, for its next start
	return err
}

// approved returns the artifact of a step if a builder has signed it for the service and version of the step, and the
// user as which it may run.
func (a *Agent) approved(s plan.Step) (artifact.Artifact, *account, error) {
	found, err := a.signed(s)
	if err != nil {
		return found, nil, err
	}
	user, err := a.userOf(s.Wanted.Service.User)
	return found, user, err
}

func (a *Agent) signed(s plan.Step) (artifact.Artifact, error) {
	d := s.Wanted.Artifact
	found, err := a.store.Get(d)
	if errors.Is(err, artifact.ErrNotFound) {
		return found, fmt.Errorf("the store of this host has no artifact %s; bring it with skerry bundle import", d)
	}
	if err != nil {
		return found, err
	}
	builders, err := artifact.ReadSigners(a.config.Builders)
	if err != nil {
		return found, err
	}
	a.builders = builders
	if _, err := a.store.Trusted(d, builders); err != nil {
		return found, err
	}
	m := found.Manifest
	if m.Service != s.Instance.Service || m.Version != s.Instance.Version || !m.RunsOn(platform) {
		return found, fmt.Errorf("the artifact %s is %s, and the plan names it for %s on %s", d.Short(), m.Name(),
			s.Instance, platform)
	}
	return found, nil
}

// spec returns what the shim runs, after it has written the files that the program reads.
func (a *Agent) spec(s plan.Step, m artifact.Manifest, unpacked string, user *account) (*shim.Spec, error) {
	work := a.workDir(s.Instance)
	state := filepath.Join(a.config.Dir, "state", fmt.Sprintf("%s~%d", s.Instance.Service, s.Instance.N))
	for _, dir := range []string{work, state} {
		if err := user.mkdir(dir); err != nil {
			return nil, err
		}
	}
	// The instance reads these files, and can't replace one by a link that the agent would write through.
	files := filepath.Join(a.config.Dir, "files", dirName(s.Instance))
	if err := mkdir(files, 0o711); err != nil {
		return nil, err
	}
	values := map[string]string{"dir": unpacked, "config": filepath.Join(files, "config"), "state": state,
		"host": a.config.Host, "service": s.Instance.Service, "version": s.Instance.Version,
		"instance": s.Instance.String()}
	for i, p := range s.Ports {
		if i == 0 {
			values["port"] = strconv.Itoa(p)
		}
		values["port:"+m.Run.Ports[i]] = strconv.Itoa(p)
	}
	var failed error
	value := func(named func(secret string) (string, error)) func(string) (string, bool) {
		return func(name string) (string, bool) {
			if secret, is := strings.CutPrefix(name, "secret:"); is {
				text, err := named(secret)
				failed = errors.Join(failed, err)
				return text, err == nil
			}
			text, ok := values[name]
			return text, ok
		}
	}
	content := func(secret string) (string, error) {
		text, err := a.secret(secret)
		return strings.TrimRight(string(text), "\r\n"), err
	}
	file := func(secret string) (string, error) {
		text, err := a.secret(secret)
		if err != nil {
			return "", err
		}
		path := filepath.Join(files, "secret-"+secret)
		return path, user.write(path, text)
	}
	// A configuration is expanded as an argument is: one language of variables.
	texts, _, err := artifact.Run{Args: []string{s.Wanted.Service.Config}}.Expand(value(content))
	if err = cmp.Or(failed, err); err != nil {
		return nil, fmt.Errorf("the configuration of %s: %w", s.Instance.Service, err)
	}
	if err := user.write(values["config"], []byte(texts[0])); err != nil {
		return nil, err
	}
	args, env, err := m.Run.Expand(value(file))
	if err = cmp.Or(failed, err); err != nil {
		return nil, err
	}
	command, err := commandOf(m.Run.Command, unpacked)
	if err != nil {
		return nil, err
	}
	percent, err := s.Wanted.Service.Limits.Percent()
	if err != nil {
		return nil, err
	}
	stop := m.Run.Stop.Signal
	if stop == "break" {
		stop = "term" // which is ctrl-break on Windows
	}
	l := s.Wanted.Service.Limits
	return &shim.Spec{
		Instance: s.Instance.String(),
		Command:  command,
		Args:     args,
		Dir:      work,
		Env:      append(baseEnv(work), env...),
		User:     user.shim(),
		Stop:     shim.Stop{Signal: cmp.Or(stop, "term"), GraceMS: m.Run.Stop.After.Milliseconds()},
		Limits:   shim.Limits{Memory: l.Memory, CPU: percent, Processes: l.Processes, Files: l.Files},
		Cgroup:   a.cgroup,
	}, nil
}

// commandOf is the file of a manifest's command.
func commandOf(command, unpacked string) (string, error) {
	if own, is := strings.CutPrefix(command, "./"); is {
		return filepath.Join(unpacked, filepath.FromSlash(own)), nil
	}
	if filepath.IsAbs(command) {
		return command, nil
	}
	path, err := exec.LookPath(command)
	if err != nil {
		return "", fmt.Errorf("this host has no program %q: %w", command, err)
	}
	return filepath.Abs(path)
}

// baseEnv is the environment that every instance has.
func baseEnv(work string) []string {
	env := []string{"HOME=" + work}
	for _, name := range []string{"PATH", "LANG", "TZ", "SystemRoot", "TEMP"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// maxSecret is the largest secret, in bytes.
const maxSecret = 64 << 10

// secret reads a secret of the host. Its name is a plain file name.
func (a *Agent) secret(name string) ([]byte, error) {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return nil, fmt.Errorf("%q is no name of a secret; a name has letters, digits, - and _", name)
	}
	text, err := statedir.ReadFile(filepath.Join(a.config.Secrets, name))
	if err != nil {
		return nil, fmt.Errorf("the secret %s of this host: %w", name, err)
	}
	if len(text) > maxSecret {
		return nil, fmt.Errorf("the secret %s of this host has %d bytes, at most %d are read", name, len(text),
			maxSecret)
	}
	return text, nil
}

// spawnTime bounds the start of a shim.
const spawnTime = 20 * time.Second

// spawn starts a shim that outlives the agent, and returns when it answers.
func spawn(ctx context.Context, command []string, dir string) error {
	said, err := os.OpenFile(filepath.Join(dir, "shim.err"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer said.Close()
	cmd := exec.Command(command[0], append(command[1:], dir)...)
	cmd.Dir = dir
	cmd.Stderr = said
	cmd.SysProcAttr = detached()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a shim: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, spawnTime)
	defer cancel()
	for {
		if _, err := shim.Ask(ctx, dir, shim.DoStatus, -1); err == nil {
			return nil
		}
		select {
		case err := <-ended:
			text, _ := os.ReadFile(filepath.Join(dir, "shim.err"))
			return fmt.Errorf("the shim ended: %w: %.500s", cmp.Or(err, errors.New("without a reason")), text)
		case <-ctx.Done():
			return fmt.Errorf("the shim does not answer: %w", context.Cause(ctx))
		case <-time.After(10 * time.Millisecond):
		}
	}
}
