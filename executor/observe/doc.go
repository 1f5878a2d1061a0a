// Package observe finds out what the nodes of clusters are like: a small shell
// script and one SQL query for each node. It changes nothing on a node. What could
// not be looked at is told as such, and never as absent.
package observe
