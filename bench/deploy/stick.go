package deploy

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed files eureka
var embedded embed.FS

var (
	systemctl, _ = embedded.ReadFile("files/systemctl") // they are embedded
	hostBytes, _ = embedded.ReadFile("files/host")
	hostScript   = string(hostBytes)
	unitForm     = "[Unit]\nDescription=%s\nAfter=network.target\n\n[Service]\nExecStart=%s\nRestart=always\n" +
		"TimeoutStopSec=45\n\n[Install]\nWantedBy=multi-user.target\n"
	ports = map[string]int{"portal": 7001, "auth": 7002, "proc": 7003, "db": 7004}
)

// newStick makes a file system with what is carried to the site. It returns its device, its megabytes and
// the number of its files.
func newStick(ctx context.Context, t *stage, dir string, pack func(stick string) error) (device string, size float64,
	files int, err error) {
	content, image := filepath.Join(dir, "stick"), filepath.Join(dir, "stick.img")
	if err := os.Mkdir(content, 0o755); err != nil {
		return "", 0, 0, err
	}
	if err := pack(content); err != nil {
		return "", 0, 0, err
	}
	bytes := int64(0)
	err = filepath.WalkDir(content, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err == nil && path == filepath.Join(content, "v2"):
			return fs.SkipDir // it comes later, on a stick of its own
		case err != nil || e.IsDir():
			return err
		}
		info, err := e.Info()
		if err == nil {
			files, bytes = files+1, bytes+info.Size()
		}
		return err
	})
	if err != nil {
		return "", 0, 0, err
	}
	blocks := fmt.Sprintf("%dK", bytes/1024*2+64<<10)
	if _, err := tool(ctx, "", "mkfs.ext4", "-q", "-d", content, image, blocks); err != nil {
		return "", 0, 0, err
	}
	out, err := tool(ctx, "", "losetup", "--find", "--show", image)
	if err != nil {
		return "", 0, 0, err
	}
	device = strings.TrimSpace(out)
	t.Cleanup(func() { _, _ = tool(context.WithoutCancel(ctx), "", "losetup", "--detach", device) })
	return device, float64(bytes) / 1e6, files, nil
}

// tool runs a program of this machine in a directory.
func tool(ctx context.Context, dir, name string, args ...string) (string, error) {
	return toolWith(ctx, dir, nil, name, args...)
}

// toolWith is tool with more variables of the environment.
func toolWith(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// put writes a file of the stick, and makes its directory.
func put(path, text string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), mode)
}

// carry copies a file or a directory to the stick.
func carry(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	_, err := tool(ctx, "", "cp", "-r", from, to)
	return err
}
