package deploy

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/skerry/skerry/bench/deploy/steps"
	"github.com/skerry/skerry/internal/sitekey"
)

// The hosts, by index.
const (
	ops1 = iota
	ops2
	ops3
	ops4
)

// places is where the services are at first.
var places = map[string]int{"portal": ops1, "auth": ops2, "proc": ops3, "db": ops4}

// byHand is a column in which files are copied on each host. The stick is laid out so that one command
// brings all files of a service to their places.
type byHand struct {
	common bool          // the stick has files for all hosts
	first  func(w *work) // on the first host, after the stick is mounted
	last   func(w *work) // on the last host
}

// install brings one service to the host at which the person is.
func (b byHand) install(w *work, service string) {
	from := "/mnt/" + service + "/. "
	if b.common {
		from = "/mnt/all/. " + from
	}
	w.run("cp -r "+from+"/", "systemctl enable --now "+service)
	w.read("systemctl status " + service)
}

// everything is the first installation, the callees before their callers.
func (b byHand) everything(w *work) {
	for i, service := range []string{"auth", "db", "proc", "portal"} {
		w.visit(places[service])
		w.run("mount /mnt")
		if i == 0 && b.first != nil {
			b.first(w)
		}
		b.install(w, service)
		if i == len(places)-1 && b.last != nil {
			b.last(w)
		}
		w.run("umount /mnt", "exit")
	}
}

// more brings one more service to a host.
func (b byHand) more(service string, host int) func(*work) {
	return func(w *work) {
		w.visit(host)
		w.run("mount /mnt")
		b.install(w, service)
		w.run("umount /mnt", "exit")
	}
}

// away stops a service.
func away(service string, host int) func(*work) {
	return func(w *work) {
		w.visit(host)
		w.run("systemctl disable --now "+service, "exit")
	}
}

func upgrade(w *work) {
	w.visit(ops3)
	w.run("mount /mnt", "cp /opt/site/proc /opt/site/proc.old", "install -t /opt/site /mnt/v2/proc",
		"systemctl restart proc")
	w.read("systemctl status proc")
	w.run("umount /mnt", "exit")
}

func rollback(w *work) {
	w.visit(ops3)
	w.run("mv /opt/site/proc.old /opt/site/proc", "systemctl restart proc")
	w.read("systemctl status proc")
	w.run("exit")
}

// inTurn does one after the other.
func inTurn(parts ...func(*work)) func(*work) {
	return func(w *work) {
		for _, part := range parts {
			part(w)
		}
	}
}

func address(host int) string { return fmt.Sprintf("10.77.0.%d", host+1) }

// The places of files on a host, and below the directory of a service on the stick.
const (
	programDir = "opt/site"
	configDir  = "etc/site"
	unitDir    = "etc/systemd/system"
)

// packServices puts programs and units on the stick.
func packServices(ctx context.Context, h home, kind, stick string) error {
	for _, service := range steps.Names {
		dir := filepath.Join(stick, service)
		if err := carry(ctx, h.program(kind, "v1", service), filepath.Join(dir, programDir, service)); err != nil {
			return err
		}
		if err := packUnit(dir, service, "/opt/site/"+service); err != nil {
			return err
		}
	}
	return carry(ctx, h.program(kind, "v2", "proc"), filepath.Join(stick, "v2", "proc"))
}

func packUnit(dir, service, command string) error {
	unit := fmt.Sprintf(unitForm, service, command)
	return put(filepath.Join(dir, unitDir, service+".service"), unit, 0o644)
}

// packCommon puts the file on the stick that all hosts of A and B have: ports, and what follows.
func packCommon(stick, text string) error {
	for _, service := range steps.Names {
		text += fmt.Sprintf("port.%s %d\n", service, ports[service])
	}
	return put(filepath.Join(stick, "all", configDir, "site.conf"), text, 0o644)
}

const commonFile = "/mnt/all/etc/site/site.conf"

// columnA has the addresses of all services in one file that every host has.
func columnA() column {
	b := byHand{common: true, first: func(w *work) {
		w.edit(commonFile, map[string]string{"AUTH": address(ops2), "PROC": address(ops3), "DB": address(ops4)})
	}}
	auth2 := func(w *work) {
		for _, caller := range []int{ops1, ops3} {
			w.visit(caller)
			w.value("echo auth " + address(ops4) + ":7002 >>/etc/site/site.conf")
			w.run("exit")
		}
	}
	dbMoved := func(w *work) {
		w.visit(ops3)
		w.edit("/etc/site/site.conf", map[string]string{"db " + address(ops4): "db " + address(ops2)})
		w.run("exit")
	}
	return column{name: "A", title: "A: addresses by hand", needs: []string{"plain"},
		pack: func(ctx context.Context, h home, stick string) error {
			if err := packCommon(stick, "auth AUTH:7002\nproc PROC:7003\ndb DB:7004\n"); err != nil {
				return err
			}
			return packServices(ctx, h, "plain", stick)
		},
		works: []func(*work){b.everything, inTurn(b.more("auth", ops4), auth2),
			inTurn(b.more("db", ops2), dbMoved, away("db", ops4)), upgrade, rollback}}
}

// columnB has a Eureka server on the first host, and its address in one file that every host has.
func columnB() column {
	b := byHand{common: true}
	everything := func(w *work) {
		w.visit(ops1)
		w.run("mount /mnt")
		w.edit(commonFile, map[string]string{"EUREKA": address(ops1)})
		w.run("cp -r /mnt/eureka/. /", "systemctl enable --now eureka")
		w.read("systemctl status eureka")
		b.install(w, "portal")
		w.run("umount /mnt", "exit")
		for _, service := range []string{"auth", "db", "proc"} {
			b.more(service, places[service])(w)
		}
	}
	return column{name: "B", title: "B: Eureka", needs: []string{"plain", "eureka"},
		pack: func(ctx context.Context, h home, stick string) error {
			if err := packEureka(ctx, h, filepath.Join(stick, "eureka")); err != nil {
				return err
			}
			if err := packCommon(stick, "eureka http://EUREKA:8761/eureka\n"); err != nil {
				return err
			}
			return packServices(ctx, h, "plain", stick)
		},
		works: []func(*work){everything, b.more("auth", ops4), inTurn(b.more("db", ops2), away("db", ops4)), upgrade,
			rollback}}
}

func packEureka(ctx context.Context, h home, dir string) error {
	if err := carry(ctx, h.path("eureka"), filepath.Join(dir, "opt", "eureka")); err != nil {
		return err
	}
	settings := "server.port=8761\nspring.application.name=eureka\neureka.client.register-with-eureka=false\n" +
		"eureka.client.fetch-registry=false\neureka.instance.hostname=localhost\n"
	if err := put(filepath.Join(dir, "opt", "eureka", "application.properties"), settings, 0o644); err != nil {
		return err
	}
	return packUnit(dir, "eureka", "/opt/eureka/jre/bin/java -cp /opt/eureka/classes:/opt/eureka/lib/* site.Eureka "+
		"--spring.config.location=/opt/eureka/application.properties")
}

const cluster = "launch"

// columnC has skerry in the services, and its key on every host.
func columnC() column {
	b := byHand{common: true, last: func(w *work) { w.await("skerry ls -c /etc/site/portal.yaml") }}
	return column{name: "C", title: "C: skerry by hand", needs: []string{"embedded"},
		pack: func(ctx context.Context, h home, stick string) error {
			if err := packServices(ctx, h, "embedded", stick); err != nil {
				return err
			}
			for _, service := range steps.Names {
				text := fmt.Sprintf("cluster: %s\nservice: {name: %s, listen: \":%d\"}\n", cluster, service,
					ports[service])
				if err := put(filepath.Join(stick, service, configDir, service+".yaml"), text, 0o644); err != nil {
					return err
				}
			}
			key := filepath.Join(stick, "all", "etc", "skerry", cluster+".key")
			if err := put(key, sitekey.New().Text()+"\n", 0o600); err != nil {
				return err
			}
			return carry(ctx, h.path("skerry"), filepath.Join(stick, "portal", "usr", "local", "bin", "skerry"))
		},
		works: []func(*work){b.everything, b.more("auth", ops4), inTurn(b.more("db", ops2), away("db", ops4)), upgrade,
			rollback}}
}
