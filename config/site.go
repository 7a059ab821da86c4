package config

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry/internal/sitekey"
)

// Site makes the process a member of its site, and names the operators that it obeys.
type Site struct {
	// Keys are the files of the site's keys: the first key signs, all verify. The process reads
	// them every 5 s. [KeysNone] alone opens the LAN to every host, for a laboratory; with
	// [KeysCertificates] certificates of tls.ca prove membership instead. Default: the list in
	// SKERRY_SITE_KEYS, else the first of $CREDENTIALS_DIRECTORY/skerry.key,
	// /etc/skerry/CLUSTER.key and skerry/CLUSTER.key in the user's configuration directory that
	// exists.
	Keys []string `yaml:"keys"`

	// Operators is the file of the operators' public keys, in OpenSSH's form of allowed_signers.
	// The process obeys their signatures, and reads the file every 5 s.
	Operators string `yaml:"operators"`

	// Calls configures calls between processes of the site. [CallsSealed] encrypts them by the
	// site's key, and refuses unencrypted calls at this process's port. [CallsPrefer] encrypts
	// outgoing calls and also accepts unencrypted ones, for stock clients and for a migration to
	// [CallsSealed].
	Calls string `yaml:"calls"`
}

// Values of Site.Keys, each alone in its list, and of Site.Calls.
const (
	KeysNone         = "none"
	KeysCertificates = "certificates"
	CallsSealed      = "sealed"
	CallsPrefer      = "prefer"
)

// envSiteKeys names key files, as a list of paths, for a configuration without key files.
const envSiteKeys = "SKERRY_SITE_KEYS"

func (s Site) withDefaults() Site {
	if len(s.Keys) == 0 {
		s.Keys = slices.DeleteFunc(filepath.SplitList(os.Getenv(envSiteKeys)),
			func(path string) bool { return path == "" })
	}
	return s
}

// KeyMode is KeysNone or KeysCertificates, or "" if files hold the keys.
func (s Site) KeyMode() string {
	if len(s.Keys) == 1 && (s.Keys[0] == KeysNone || s.Keys[0] == KeysCertificates) {
		return s.Keys[0]
	}
	return ""
}

// check checks the section. The node reads the files when it opens, because skerry key new and
// skerry operator add make them.
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

// checkSiteKey checks lan.key, the old place of the site's key.
func checkSiteKey(p *problems, text string) {
	if text == "" {
		return
	}
	if _, err := sitekey.Parse(text); err != nil {
		p.at("lan.key", "%v", err)
	}
}
