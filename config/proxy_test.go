package config

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Each mistake in the section proxy has an error with the remedy.
func TestMistakesInTheSectionProxy(t *testing.T) {
	for _, c := range [][2]string{
		{"{billing: {}}", "is neither unix:/path/to.sock nor an address and port"},
		{"{billing: {listen: unix:run/x.sock}}", "a socket has an absolute path"},
		{"{billing: {listen: 'unix:/" + strings.Repeat("x", 100) + "'}}", "at most 95 bytes"},
		{"{billing: {listen: '0.0.0.0:7760', token: 0123456789abcdef}}", "use a loopback address"},
		{"{billing: {listen: '127.0.0.1:7760'}}", "set proxy.programs.billing.token"},
		{"{billing: {listen: '127.0.0.1:7760', token: short}}", "can be guessed"},
		{"{a: {listen: unix:/run/x}, b: {listen: unix:/run/x}}", "each program has a socket of its own"},
		{"{billing: {listen: unix:/run/x, provides: [{service: b}]}}",
			"is no host:port; write where the program listens"},
		{"{billing: {listen: unix:/run/x, provides: [{service: b, addr: ':1', check: http}]}}",
			"is none of tcp, thrift, thrift:METHOD"},
		{"{billing: {listen: unix:/run/x, provides: [{service: b, addr: ':1', protocol: skerry}]}}",
			"is none of header, framed-binary"},
		{"{billing: {listen: unix:/run/x, provides: [{service: b, addr: ':1'}, {service: b, addr: ':2'}]}}",
			"a program of its own"},
		{"{billing: {listen: unix:/run/x, provides: [{service: b, addr: ':1', concurrency: -1}]}}", "-1 is not in 1.."},
		{"{billing: {listen: unix:/run/x, ports: {auth: unix:/run/x}}}", "is in use by proxy.programs.billing.listen"},
	} {
		text, want := c[0], c[1]
		_, err := Parse("x.yaml", []byte("proxy: {programs: "+text+"}\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestTokenFileIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // its files have no such mode
	}
	file := filepath.Join(t.TempDir(), "token")
	text := fmt.Sprintf("proxy: {programs: {billing: {listen: '127.0.0.1:7760', token: '${file:%s}'}}}\n", file)
	for mode, want := range map[os.FileMode]string{0o600: "", 0o640: "", 0o644: "may be read by every user"} {
		if err := os.WriteFile(file, []byte("0123456789abcdef\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		c, err := Parse("x.yaml", []byte(text))
		if want == "" && (err != nil || c.Proxy.Programs["billing"].Token != "0123456789abcdef") || want != "" &&
			(err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}
