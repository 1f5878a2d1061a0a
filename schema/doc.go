// Package schema is the language of pg_manage: it turns HCL text into the
// desired state, values of type Cluster and Target. What can be known wrong
// without asking a host is refused here, as a Diagnostic that names the place
// and says what to write instead.
//
// Only this package knows HCL. Others get plain values, and places as Range.
package schema
