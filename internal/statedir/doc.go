// Package statedir keeps files where no other user can plant or alter them.
//
// # Guarantees
//
// After a restart a process obeys the files of its state directory, and its writes follow the names there. It
// therefore uses a directory only when it belongs to the process's user or to root and no other user may write to
// it. The check is made on the open directory: a path may lead over symbolic links, such as those that systemd
// makes under /var/lib, if they belong to the same two users. A missing directory is made with mode 0700.
//
// Files are opened relative to the open directory, through [os.Root]. It keeps a name from leading out of the
// directory, but follows links inside. A link, a pipe, a device or a file with several names (hard links) is
// therefore not opened, and the opened file must be the checked one. Files have mode 0600 and are read up to
// [MaxFile] bytes. [WriteFile] replaces any file of the name, so that a power cut leaves the old or the new text,
// and nothing is written through a link.
//
// [ReadUnasked] reads a file that was found and not named, such as ./skerry.yaml, under the same rule.
//
// A group may write when it is the private group of the owner, which many systems give to each user. On Windows
// the owner is checked (the user, Administrators, SYSTEM), not the access list.
//
// # Failure
//
// An [UnsafeError] names path, owner, mode and the command that corrects it. The caller goes on without the file
// and logs it: a service starts in any case.
//
// # Concurrency
//
// All functions may be called from any goroutine. The package is floor 0.
package statedir
