package artifact

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
)

// The processors in the heads of programs, by Go's names.
var (
	elfMachines = map[uint16]string{3: "386", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 258: "loong64"}
	peMachines  = map[uint16]string{0x14c: "386", 0x8664: "amd64", 0xaa64: "arm64"}
)

// checkProgram refuses a command that is built for another platform than the manifest says. Otherwise the first host
// would find that out. A program of an unknown format passes.
func checkProgram(m Manifest, files []input) error {
	own, isOwn := strings.CutPrefix(m.Run.Command, "./")
	if !isOwn {
		return nil
	}
	for _, in := range files {
		if in.name != own {
			continue
		}
		f, err := os.Open(in.path)
		if err != nil {
			return err
		}
		defer f.Close()
		built := builtFor(f)
		system, arch, _ := strings.Cut(m.Platform, "/")
		for _, part := range strings.Split(built, "/") {
			if built != "" && part != "" && part != system && part != arch {
				return fmt.Errorf("%s is a program for %s, and the artifact's platform is %s; name the platform that "+
					"it was built for", in.path, strings.Trim(built, "/"), m.Platform)
			}
		}
	}
	return nil
}

// builtFor reads OS/ARCH out of the head of a program. OS is empty for ELF, which names no system. Any other file gives
// "".
func builtFor(f io.ReaderAt) string {
	head := make([]byte, 64)
	if _, err := f.ReadAt(head, 0); err != nil {
		return ""
	}
	switch {
	case string(head[:4]) == "\x7fELF":
		var order binary.ByteOrder = binary.LittleEndian
		if head[5] == 2 {
			order = binary.BigEndian
		}
		return "/" + elfMachines[order.Uint16(head[18:])]
	case string(head[:2]) == "MZ":
		pe := make([]byte, 6)
		_, err := f.ReadAt(pe, int64(binary.LittleEndian.Uint32(head[60:])))
		if err == nil && string(pe[:4]) == "PE\x00\x00" {
			return "windows/" + peMachines[binary.LittleEndian.Uint16(pe[4:])]
		}
	}
	return ""
}
