// Package gitrepo reads bare Git repositories by the git program.
//
// # Guarantees
//
// Nothing that a repository holds is executed: no hook, no filter, no command of its configuration. Files are written
// from the objects themselves, so attributes, line endings and submodules change nothing. A repository of another
// user is read as that user, when this process is root: what its configuration says can do no more than its owner.
//
// Names of commits are branches, tags or hashes. None is taken for an option of git.
//
// # Limits
//
// 200,000 files and 16 GiB in a checkout, 1,000 branches. A command of git ends after ten minutes.
//
// All functions are safe for concurrent use. The package imports the standard library only.
package gitrepo
