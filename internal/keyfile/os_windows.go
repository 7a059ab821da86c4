package keyfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

func systemDir() string {
	if dir := os.Getenv("ProgramData"); dir != "" {
		return filepath.Join(dir, "skerry")
	}
	return ""
}

func open(path string) (*os.File, error) { return os.Open(path) }

func tooManyLinks(err error) bool { return false }

// The rights to check, also inside of "full access", which has all bits.
const (
	readRights  = windows.FILE_READ_DATA | windows.GENERIC_READ | windows.GENERIC_ALL
	writeRights = windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA | windows.GENERIC_WRITE | windows.GENERIC_ALL |
		windows.WRITE_DAC | windows.WRITE_OWNER | windows.DELETE
)

// crowds are the groups that contain all users of a host or a domain.
var crowds = []windows.WELL_KNOWN_SID_TYPE{
	windows.WinWorldSid, windows.WinAuthenticatedUserSid, windows.WinBuiltinUsersSid, windows.WinBuiltinGuestsSid,
	windows.WinInteractiveSid, windows.WinNetworkSid, windows.WinAnonymousSid,
}

// safe refuses a file if its access list lets a group of crowds write it, or read a secret.
func safe(path string, f *os.File, _ fs.FileInfo, what kind) error {
	if what == harmless {
		return nil
	}
	sd, err := windows.GetSecurityInfo(windows.Handle(f.Fd()), windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("the access list of %s: %w", path, err)
	}
	list, _, err := sd.DACL()
	if err != nil || list == nil {
		return fmt.Errorf("%s has no access list, so every user may change it; mend it: %s", path, mend(path))
	}
	bad, deed := windows.ACCESS_MASK(writeRights), "written"
	if what != public {
		bad, deed = bad|readRights, "read or written"
	}
	for i := range uint32(list.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(list, i, &ace); err != nil {
			return fmt.Errorf("the access list of %s: %w", path, err)
		}
		if ace.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE || ace.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0 ||
			ace.Mask&bad == 0 {
			continue
		}
		sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart))
		for _, crowd := range crowds {
			if sid.IsWellKnown(crowd) {
				return fmt.Errorf("%s may be %s by every user of this host; mend it: %s", path, deed, mend(path))
			}
		}
	}
	return nil
}

func mend(path string) string {
	return fmt.Sprintf(`icacls %s /inheritance:r /grant:r *S-1-5-18:F *S-1-5-32-544:F "%%USERNAME%%:F"`, quote(path))
}

// restrict limits a new file to its owner, the administrators and the system.
func restrict(f *os.File) error {
	sd, err := windows.SecurityDescriptorFromString("D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;OW)")
	if err != nil {
		return err
	}
	list, _, err := sd.DACL()
	if err != nil {
		return err
	}
	// By name: the handle of os.OpenFile has no right to change the list.
	return windows.SetNamedSecurityInfo(f.Name(), windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil)
}

// take gives a new file the access list of the old one.
func take(f *os.File, old fs.FileInfo) error {
	path := filepath.Join(filepath.Dir(f.Name()), old.Name())
	sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return err
	}
	list, _, err := sd.DACL()
	if err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(f.Name(), windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil)
}
