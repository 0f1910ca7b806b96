// Package helm holds the chart of deploy/helm to Helm's linter, to the types of Kubernetes, Dapr and KEDA, and to the rules
// for pods. It needs no cluster. make chart runs it; a module of its own, for what it is made of is in no service.
//
// keda holds two definitions of KEDA 2.20.2 (config/crd/bases, Apache License 2.0): its Go types would bring all of
// controller-runtime along.
package helm
