package statedir

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// check refuses a file unless the process's own user, Administrators or SYSTEM owns it.
func check(f *os.File, path string) error {
	handle := windows.Handle(f.Fd())
	sd, err := windows.GetSecurityInfo(handle, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
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
	system := owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) || owner.IsWellKnown(windows.WinLocalSystemSid)
	if system || owner.Equals(me.User.Sid) {
		return nil
	}
	why := "it belongs to " + owner.String() + ", and this process runs as " + me.User.Sid.String()
	return &UnsafeError{path, why, "takeown /F \"" + path + "\""}
}

// foreign has no result here: check names the owner.
func foreign(fs.FileInfo, string) error { return nil }

// checkLink accepts every link, because making one takes a privilege.
func checkLink(fs.FileInfo, string) error { return nil }

// links is always 1, because a FileInfo does not have the number.
func links(fs.FileInfo) uint64 { return 1 }
