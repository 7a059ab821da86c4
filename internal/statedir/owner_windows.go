package statedir

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// check refuses what another user than the process's own, Administrators and
// SYSTEM owns.
func check(f *os.File, path string) error {
	sd, err := windows.GetSecurityInfo(windows.Handle(f.Fd()), windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("owner of %q: %w", path, err)
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return fmt.Errorf("owner of %q: %w", path, err)
	}
	me, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return fmt.Errorf("user of this process: %w", err)
	}
	if owner.Equals(me.User.Sid) || owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) || owner.IsWellKnown(windows.WinLocalSystemSid) {
		return nil
	}
	return &UnsafeError{path, "it belongs to " + owner.String() + ", and this process runs as " + me.User.Sid.String(), "takeown /F \"" + path + "\""}
}

// checkLink lets links pass: to make one takes a privilege.
func checkLink(fs.FileInfo, string) error { return nil }

// links is not told by a FileInfo.
func links(fs.FileInfo) uint64 { return 1 }
