-- +goose Up
-- The log of every mail, which is also the queue of those to send.
CREATE TABLE mails (
    id            uuid PRIMARY KEY,           -- UUIDv7: newest last
    kind          text NOT NULL,
    about         text UNIQUE,                -- what this mail is the only one about; NULL for one that was sent again by hand
    topic         text NOT NULL,              -- the event that caused it; '' when orders was asked, or by hand
    event_id      text NOT NULL DEFAULT '',
    order_id      uuid,
    account_id    uuid,
    sender        text NOT NULL,
    recipient     text NOT NULL,
    subject       text NOT NULL,
    data          jsonb NOT NULL,             -- what the template shows; {} once the mail with a code has ended
    status        text NOT NULL CHECK (status IN ('queued', 'sent', 'failed', 'skipped')),
    error         text NOT NULL DEFAULT '',   -- why it failed or was skipped, or what the last try met
    tries         int NOT NULL DEFAULT 0,
    cut_off       int NOT NULL DEFAULT 0,     -- tries whose end nobody saw: that mail may have arrived, and was repeated
    next_try_at   timestamptz NOT NULL,
    leased_until  timestamptz,                -- a worker is sending it
    expires_at    timestamptz,                -- of a code: useless afterwards
    again_of      uuid REFERENCES mails,
    created_at    timestamptz NOT NULL,
    sent_at       timestamptz
);
CREATE INDEX mails_due ON mails (expires_at NULLS LAST, next_try_at) WHERE status = 'queued';
CREATE INDEX mails_order ON mails (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX mails_account ON mails (account_id, kind) WHERE account_id IS NOT NULL;
CREATE INDEX mails_recipient ON mails (recipient, id DESC);
CREATE INDEX mails_status ON mails (status, id DESC);

-- How far orders has been asked what customers should have been told.
CREATE TABLE pulls (
    name   text PRIMARY KEY,
    since  timestamptz NOT NULL
);
INSERT INTO pulls (name, since) VALUES ('orders', now());
