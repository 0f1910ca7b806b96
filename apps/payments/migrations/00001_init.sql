-- +goose Up
-- One charge an order. `state` is the decision, made once: requested → attempted
-- → captured | failed, by way of `unknown` when the provider did not answer, or
-- voided. `captured_at` is the fact that the provider took the money; it may
-- come after a void, and then all of it is refunded.
CREATE TABLE charges (
    order_id      uuid PRIMARY KEY,
    number        text NOT NULL DEFAULT '',  -- the order's, for people
    email         text NOT NULL DEFAULT '',
    amount        bigint NOT NULL DEFAULT 0 CHECK (amount >= 0),
    currency      text NOT NULL DEFAULT '',
    method        text NOT NULL DEFAULT '',
    provider      text NOT NULL DEFAULT '',
    state         text NOT NULL CHECK (state IN ('requested', 'attempted', 'unknown', 'captured', 'failed', 'voided')),
    reason        text NOT NULL DEFAULT '',  -- of a failed charge
    provider_ref  text NOT NULL DEFAULT '',  -- the provider's own id
    tries         int NOT NULL DEFAULT 0,
    next_try_at   timestamptz NOT NULL,
    leased_until  timestamptz,               -- a worker is talking to the provider
    attempted_at  timestamptz,               -- when the charge was last sent
    placed_at     timestamptz,               -- when order.placed came; NULL: a tombstone, the cancel or void came first
    cancelled_at  timestamptz,               -- when order.cancelled came
    void_asked_at timestamptz,               -- when orders gave up while the charge was under way
    captured_at   timestamptz,
    next_check_at timestamptz,               -- when orders is asked what became of the order; NULL: it has ended
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);
CREATE INDEX charges_due ON charges (next_try_at) WHERE state IN ('requested', 'attempted', 'unknown');
CREATE INDEX charges_check ON charges (next_check_at) WHERE next_check_at IS NOT NULL;
CREATE INDEX charges_state ON charges (state, order_id DESC);

CREATE TABLE refunds (
    id            uuid PRIMARY KEY,
    order_id      uuid NOT NULL REFERENCES charges,
    amount        bigint NOT NULL CHECK (amount > 0),
    reason        text NOT NULL,
    requested_by  uuid,                      -- the administrator; NULL: the order was cancelled
    state         text NOT NULL CHECK (state IN ('requested', 'done', 'failed')),
    error         text NOT NULL DEFAULT '',  -- of a failed refund, or of the last try
    provider_ref  text NOT NULL DEFAULT '',
    tries         int NOT NULL DEFAULT 0,
    next_try_at   timestamptz NOT NULL,
    leased_until  timestamptz,
    created_at    timestamptz NOT NULL,
    ended_at      timestamptz
);
CREATE INDEX refunds_order ON refunds (order_id, created_at);
CREATE INDEX refunds_due ON refunds (next_try_at) WHERE state = 'requested';

-- What providers told. The id makes a repeated webhook have no effect.
CREATE TABLE webhooks (
    provider    text NOT NULL,
    event_id    text NOT NULL,
    type        text NOT NULL,
    key         text NOT NULL,               -- the order or the refund that it is about
    received_at timestamptz NOT NULL,
    PRIMARY KEY (provider, event_id)
);
CREATE INDEX webhooks_key ON webhooks (key);
