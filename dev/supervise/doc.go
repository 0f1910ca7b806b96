// Package supervise keeps processes running: one in the background starts
// them, starts again what exits, and stops them stage by stage; a Client tells
// it what to run and asks how everything is. It also runs programs to their
// end with their output in a log.
//
// It knows processes, not what they are for, and imports no other room of dev.
package supervise
