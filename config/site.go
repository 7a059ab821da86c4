package config

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry/internal/sitekey"
)

// Site is what makes the process a member of its site, and the operators it obeys.
type Site struct {
	// Keys are the files of the site's keys: the first key signs, all verify.
	// They are looked at every 5 s. [KeysNone] alone opens the LAN to every
	// host, for a laboratory; [KeysCertificates] has certificates of tls.ca
	// prove membership instead. Default: the list in SKERRY_SITE_KEYS, else the
	// first of $CREDENTIALS_DIRECTORY/skerry.key, /etc/skerry/CLUSTER.key and
	// skerry/CLUSTER.key in the user's configuration directory that exists.
	Keys []string `yaml:"keys"`

	// Operators is the file of the operators' public keys, in OpenSSH's form
	// of allowed_signers: what they sign is obeyed. It is looked at every 5 s.
	Operators string `yaml:"operators"`

	// Calls says how calls between processes of the site go: [CallsSealed]
	// encrypts them by the site's key, and refuses at this process's port what
	// is not encrypted; [CallsPrefer] encrypts those that it makes, and takes
	// others, too: for stock clients, and on the way to [CallsSealed].
	Calls string `yaml:"calls"`
}

// Values of Site.Keys, each alone in its list, and of Site.Calls.
const (
	KeysNone         = "none"
	KeysCertificates = "certificates"
	CallsSealed      = "sealed"
	CallsPrefer      = "prefer"
)

// envSiteKeys names key files, as a list of paths, where the configuration
// names none.
const envSiteKeys = "SKERRY_SITE_KEYS"

func (s Site) withDefaults() Site {
	if len(s.Keys) == 0 {
		s.Keys = slices.DeleteFunc(filepath.SplitList(os.Getenv(envSiteKeys)),
			func(path string) bool { return path == "" })
	}
	return s
}

// KeyMode is KeysNone or KeysCertificates, or "" where files hold the keys.
func (s Site) KeyMode() string {
	if len(s.Keys) == 1 && (s.Keys[0] == KeysNone || s.Keys[0] == KeysCertificates) {
		return s.Keys[0]
	}
	return ""
}

// check looks at what the section says. Files are read when the node opens:
// skerry key new, and skerry operator add, make them.
func (s Site) check(p *problems, c Config) {
	for i, path := range s.Keys {
		key := "site.keys[" + strconv.Itoa(i) + "]"
		switch {
		case path == "":
			p.at(key, "the name of a file is empty")
		case (path == KeysNone || path == KeysCertificates) && len(s.Keys) > 1:
			p.at(key, "%q stands alone, or is left out: it can't be combined with files", path)
		case strings.HasPrefix(strings.ToLower(strings.TrimSpace(path)), sitekey.Prefix):
			p.at(key, "this is a key, and its place is a file: store it with skerry key set, and name the file here")
		case slices.Contains(s.Keys[:i], path):
			p.at(key, "%q stands twice", path)
		}
	}
	switch {
	case s.KeyMode() == KeysCertificates && (c.TLS.CA == "" || c.TLS.Cert == "" || c.TLS.Clients == "none"):
		p.at("site.keys", "certificates prove membership only where every process shows one: set tls.ca, tls.cert "+
			"and tls.key, and leave tls.clients at require")
	case s.KeyMode() != "" && c.LAN.Key != "":
		p.at("lan.key", "site.keys says %s, and a key stands here; keep one of them", s.KeyMode())
	case len(s.Keys) > 0 && c.LAN.Key != "":
		p.at("lan.key", "site.keys names files already, and lan.key is the old name of the same thing; take lan.key "+
			"out")
	}
	if s.Calls != "" {
		oneOf(p, "site.calls", s.Calls, CallsSealed, CallsPrefer)
	}
	switch {
	case s.Calls == "":
	case s.KeyMode() == KeysNone:
		p.at("site.calls", "sealed calls need the site's key, and site.keys says none; make one with: skerry key new")
	case s.KeyMode() == KeysCertificates:
		p.at("site.calls", "sealed calls need the site's key, and site.keys says certificates; take site.calls out: "+
			"tls encrypts the calls")
	}
}

// checkSiteKey looks at lan.key, the old place of the site's key.
func checkSiteKey(p *problems, text string) {
	if text == "" {
		return
	}
	if _, err := sitekey.Parse(text); err != nil {
		p.at("lan.key", "%v", err)
	}
}
