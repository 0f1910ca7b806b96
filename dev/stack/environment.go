package stack

import (
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
)

// Environment is what every process gets besides its settings. It is the same
// from whichever shell make up is called, or every process would be another.
func Environment() []string {
	return []string{"PATH=" + path(), "HOME=" + home(), "LANG=C.UTF-8", "TZ=UTC"}
}

// path is the system's, after the folder of the java that is in use here.
func path() string {
	const system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	java, err := exec.LookPath("java")
	if err != nil || slices.Contains(filepath.SplitList(system), filepath.Dir(java)) {
		return system
	}
	return filepath.Dir(java) + ":" + system
}

func home() string {
	if u, err := user.Current(); err == nil {
		return u.HomeDir
	}
	return "/"
}
