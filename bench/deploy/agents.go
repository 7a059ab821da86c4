package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/skerry/skerry/bench/deploy/steps"
	"github.com/skerry/skerry/internal/sitekey"
)

// columnD has an agent on each host. A plan, which an operator signs, says what runs where. It is given to one host,
// and so is the bundle: the agents hand both on. Changes are made from one host.
func columnD() column {
	const apply = "skerry site apply %s --key ~/.ssh/operator"
	first := func(w *work) {
		w.visit(ops1)
		w.run("mount /mnt", "cp -r /mnt/all/. /mnt/seat/. /", "skerry bundle import /mnt/site.skb",
			"systemctl enable --now skerry-agent", "umount /mnt", "exit")
		for _, host := range []int{ops2, ops3, ops4} {
			w.visit(host)
			w.run("mount /mnt", "cp -r /mnt/all/. /", "systemctl enable --now skerry-agent")
			if host == ops4 {
				w.await("skerry ls -c /etc/skerry/skerry.yaml")
			}
			w.run("umount /mnt", "exit")
		}
	}
	change := func(values map[string]string) func(*work) {
		return func(w *work) {
			w.visit(ops1)
			w.edit("/root/plan.yaml", values)
			w.read(fmt.Sprintf(apply, "~/plan.yaml"))
			w.run("exit")
		}
	}
	upgrade := func(w *work) {
		w.visit(ops1)
		w.run("mount /mnt", "skerry bundle import /mnt/v2/site.skb")
		w.read(fmt.Sprintf(apply, "/mnt/v2/plan.yaml"))
		w.run("umount /mnt", "exit")
	}
	undo := func(w *work) {
		w.visit(ops1)
		w.read("skerry site undo --key ~/.ssh/operator")
		w.run("exit")
	}
	return column{name: "D", title: "D: skerry's agents", needs: []string{"embedded"}, pack: packAgents,
		works: []func(*work){first,
			change(map[string]string{"v1: {hosts: {ops-2: 1}": "v1: {hosts: {ops-2: 1, ops-4: 1}"}),
			change(map[string]string{"v1: {hosts: {ops-4: 1}": "v1: {hosts: {ops-2: 1}"}),
			upgrade, undo}}
}

// builder makes artifacts, bundles and plans, as the commands of docs/site.md do.
type builder struct {
	ctx             context.Context
	home            home
	dir             string            // of keys and the store
	digests         map[string]string // of artifacts, by SERVICE/VERSION
	err             error             // the first that happened: nothing is done after it
	operator, owner string            // files of private keys
}

func (b *builder) skerry(args ...string) (out string) {
	if b.err == nil {
		store := "SKERRY_STORE=" + filepath.Join(b.dir, "store")
		out, b.err = toolWith(b.ctx, b.dir, []string{store}, b.home.path("skerry"), args...)
	}
	return out
}

func (b *builder) put(path, text string, mode os.FileMode) {
	if b.err == nil {
		b.err = put(path, text, mode)
	}
}

func (b *builder) key(name string) string {
	path := filepath.Join(b.dir, name)
	if b.err == nil {
		_, b.err = tool(b.ctx, b.dir, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path)
	}
	return path
}

func (b *builder) artifact(service, version string) {
	dir := filepath.Join(b.dir, service+"-"+version)
	if b.err == nil {
		b.err = carry(b.ctx, b.home.program("embedded", version, service), filepath.Join(dir, service))
	}
	b.put(dir+".yaml", fmt.Sprintf("service: %s\nplatform: linux/%s\nrun: {command: ./%s, "+
		"args: [-config, \"${config}\"], ports: [main], stop: {signal: term, after: 45s}}\n", service, runtime.GOARCH,
		service), 0o644)
	var made struct{ Digest string }
	out := b.skerry("artifact", "make", dir, "-f", dir+".yaml", "--version", version, "--key", b.owner, "--json")
	if i := strings.Index(out, "{"); b.err == nil && i >= 0 {
		b.err = json.NewDecoder(strings.NewReader(out[i:])).Decode(&made)
	}
	b.digests[service+"/"+version] = made.Digest
}

func (b *builder) bundle(path string, artifacts ...string) {
	list := path + ".yaml"
	b.put(list, "cluster: "+cluster+"\nartifacts: ["+strings.Join(artifacts, ", ")+"]\n", 0o644)
	b.skerry("bundle", "make", list, "-o", path, "--key", b.owner)
	if b.err == nil {
		b.err = os.Remove(list)
	}
}

// draft writes a plan without a number. hosts are those of instances, by service and version.
func (b *builder) draft(path string, hosts map[string]map[string]string) {
	b.put(path, b.text("", hosts), 0o644)
}

// plan writes and signs a plan.
func (b *builder) plan(path string, number int, hosts map[string]map[string]string) {
	b.put(path, b.text(fmt.Sprintf("plan: %d\n", number), hosts), 0o644)
	if b.err == nil {
		_, b.err = tool(b.ctx, b.dir, "ssh-keygen", "-Y", "sign", "-n", "skerry-plan", "-f", b.operator, path)
	}
}

func (b *builder) text(head string, hosts map[string]map[string]string) string {
	text := head + fmt.Sprintf("cluster: %s\nservices:\n", cluster)
	for _, service := range steps.Names {
		text += fmt.Sprintf("  %s:\n    user: root\n    ports: \"%d\"\n    config: |\n      cluster: %s\n"+
			"      service: {name: %s, listen: \":${port}\"}\n    run:\n", service, ports[service], cluster, service)
		for _, version := range []string{"v1", "v2"} {
			if at, ok := hosts[service][version]; ok {
				text += fmt.Sprintf("      %s: {hosts: {%s}, artifacts: {linux/%s: \"%s\"}}\n", version, at,
					runtime.GOARCH, b.digests[service+"/"+version])
			}
		}
	}
	return text
}

// packAgents makes keys, artifacts, bundles and the first plan, and the files that each host needs.
func packAgents(ctx context.Context, h home, stick string) error {
	dir, err := os.MkdirTemp(h.dir, "builder-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &builder{ctx: ctx, home: h, dir: dir, digests: map[string]string{}}
	b.owner, b.operator = b.key("builder"), b.key("operator")
	hosts := map[string]map[string]string{}
	var first []string
	for _, service := range steps.Names {
		b.artifact(service, "v1")
		hosts[service] = map[string]string{"v1": hostNames[places[service]] + ": 1"}
		first = append(first, service+"/v1")
	}
	b.artifact("proc", "v2")
	b.bundle(filepath.Join(stick, "site.skb"), first...)
	if b.err == nil {
		b.err = os.MkdirAll(filepath.Join(stick, "v2"), 0o755)
	}
	b.bundle(filepath.Join(stick, "v2", "site.skb"), "proc/v2")
	b.plan(filepath.Join(stick, "seat", "etc", "skerry", "plan.yaml"), 1, hosts)
	b.draft(filepath.Join(stick, "seat", "root", "plan.yaml"), hosts)
	hosts["auth"]["v1"] = "ops-2: 1, ops-4: 1"
	hosts["db"]["v1"] = "ops-2: 1"
	hosts["proc"] = map[string]string{"v2": "ops-3: 1"}
	b.draft(filepath.Join(stick, "v2", "plan.yaml"), hosts)

	etc := filepath.Join(stick, "all", "etc", "skerry")
	b.put(filepath.Join(etc, cluster+".key"), sitekey.New().Text()+"\n", 0o600)
	b.put(filepath.Join(etc, "skerry.yaml"), "cluster: "+cluster+"\n", 0o644)
	b.put(filepath.Join(etc, "agent.yaml"), "cluster: "+cluster+"\nsite: /etc/skerry/skerry.yaml\n", 0o644)
	b.skerry("operator", "add", "--file", filepath.Join(etc, "operators"), "--namespaces", "skerry-plan", "wang",
		b.operator+".pub")
	b.skerry("operator", "add", "--file", filepath.Join(etc, "builders"), "--namespaces",
		"skerry-artifact,skerry-bundle", "li", b.owner+".pub")
	if b.err != nil {
		return b.err
	}
	if err := packUnit(filepath.Join(stick, "all"), "skerry-agent", "/usr/local/bin/skerry agent run"); err != nil {
		return err
	}
	if err := carry(ctx, b.operator, filepath.Join(stick, "seat", "root", ".ssh", "operator")); err != nil {
		return err
	}
	if err := carry(ctx, b.operator+".pub", filepath.Join(stick, "seat", "root", ".ssh", "operator.pub")); err != nil {
		return err
	}
	return carry(ctx, h.path("skerry"), filepath.Join(stick, "all", "usr", "local", "bin", "skerry"))
}
