// Command pg_manage looks after PostgreSQL clusters: what an HCL file declares is
// compared with what the nodes say, shown as a plan, and done. See the README.
package main

import (
	"os"
)

func main() {
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}
