// Package shop drives a running shop from outside, as browsers and the back office do: through the edge, and through
// the inbox that mails arrive in. The tests of the other packages are written with it.
//
// Which shop is told by the environment: RUN_DIR is the folder of a stack that `make up` started (its settings.env
// holds addresses and passwords); BASE_URL and MAIL_URL override the addresses. Without RUN_DIR the tests fail.
// `make test` starts a stack of its own for them.
//
// Every test makes its own products and shoppers, so that all can run at once and again. Nothing waits for a fixed
// time: what takes its time is asked for until it is there or a deadline is over. An answer that is not what the test
// says fails the test; it is never asked for again.
package shop
