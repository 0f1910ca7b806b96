-- +goose Up
-- A drop. What is null is not decided, or not known, yet. The secret stands here from the reveal on: until then it follows
-- from a setting and the nonce.
CREATE TABLE drops (
    id               uuid PRIMARY KEY,
    slug             text NOT NULL UNIQUE,
    title            text NOT NULL,
    preset           text NOT NULL CHECK (preset IN ('queue', 'draw', 'first-come')),
    state            text NOT NULL CHECK (state IN
                         ('draft', 'scheduled', 'prequeue', 'drawing', 'open', 'paused', 'all_held', 'sold_out', 'closed')),
    zone             text NOT NULL,
    prequeue_at      timestamptz,
    opens_at         timestamptz NOT NULL,
    closes_at        timestamptz NOT NULL,
    grace_s          integer NOT NULL CHECK (grace_s > 0),
    hold_s           integer NOT NULL CHECK (hold_s > 0),
    standby_s        integer NOT NULL CHECK (standby_s > 0),
    calls_per_s      integer NOT NULL CHECK (calls_per_s > 0),
    notify           boolean NOT NULL,
    beacon           text NOT NULL CHECK (beacon IN ('drand', 'commit')),
    beacon_round     bigint,
    message          text NOT NULL DEFAULT '',
    -- What inventory is asked for: asked and closing are asked again until it has answered.
    lots             text NOT NULL DEFAULT 'none' CHECK (lots IN ('none', 'asked', 'refused', 'open', 'closing', 'closed')),
    refused          text NOT NULL DEFAULT '',
    rules            text,
    nonce            bytea,
    commitment       bytea,
    entered          bigint NOT NULL DEFAULT 0,
    n                bigint CHECK (n <= entered),
    root             bytea,
    beacon_signature bytea,
    secret           bytea,
    seed             bytea,
    opened_at        timestamptz,
    paused_at        timestamptz,
    ended_at         timestamptz,
    created_at       timestamptz NOT NULL,
    CHECK (preset = 'first-come' OR prequeue_at < opens_at),
    CHECK (opens_at < closes_at),
    CHECK ((n IS NULL) = (root IS NULL)),
    CHECK ((seed IS NULL) = (secret IS NULL)),
    CHECK (seed IS NULL OR n IS NOT NULL)
);
CREATE INDEX drops_live ON drops (opens_at) WHERE state NOT IN ('draft', 'sold_out', 'closed') OR lots IN ('asked', 'closing');

-- Its lot of a SKU: what was set aside, how inventory last said that it stands, and up to which position it was called.
CREATE TABLE drop_lots (
    drop_id  uuid NOT NULL REFERENCES drops ON DELETE CASCADE,
    sku      text NOT NULL,
    units    bigint NOT NULL CHECK (units > 0),
    most     bigint NOT NULL CHECK (most > 0),
    called   bigint NOT NULL DEFAULT 0,
    entrants bigint NOT NULL DEFAULT 0,
    wanted   bigint NOT NULL DEFAULT 0,
    came     bigint NOT NULL DEFAULT 0,
    stayed   bigint NOT NULL DEFAULT 0,
    free     bigint NOT NULL DEFAULT 0,
    held     bigint NOT NULL DEFAULT 0,
    sold     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (drop_id, sku)
);

-- Who has entered. Of a removed account only the leaf stays.
CREATE TABLE entries (
    id         uuid PRIMARY KEY,
    drop_id    uuid NOT NULL REFERENCES drops,
    account_id uuid,
    idx        bigint NOT NULL CHECK (idx >= 0),
    position   bigint,
    skus       text[] NOT NULL,
    quantity   bigint NOT NULL CHECK (quantity > 0),
    salt       bytea,
    leaf       bytea NOT NULL,
    entered_at timestamptz NOT NULL,
    left_at    timestamptz,
    excluded   text,
    UNIQUE (drop_id, account_id),
    UNIQUE (drop_id, idx)
);
CREATE INDEX entries_position ON entries (drop_id, position);
CREATE INDEX entries_account ON entries (account_id);

-- Whom a drop has called for a SKU: the positions from first to before last. Once their time is over it is counted who came.
CREATE TABLE calls (
    drop_id    uuid NOT NULL,
    sku        text NOT NULL,
    first      bigint NOT NULL,
    last       bigint NOT NULL CHECK (last > first),
    called     bigint NOT NULL CHECK (called > 0),
    called_at  timestamptz NOT NULL,
    settled_at timestamptz,
    PRIMARY KEY (drop_id, sku, first),
    FOREIGN KEY (drop_id, sku) REFERENCES drop_lots
);
CREATE INDEX calls_open ON calls (drop_id, sku) WHERE settled_at IS NULL;

-- What was claimed. Until is the end of what inventory was asked to hold.
CREATE TABLE claims (
    entry_id uuid NOT NULL REFERENCES entries,
    sku      text NOT NULL,
    drop_id  uuid NOT NULL,
    quantity bigint NOT NULL CHECK (quantity > 0),
    position bigint NOT NULL,
    state    text NOT NULL CHECK (state IN ('asked', 'held', 'standby', 'offered', 'bought', 'lapsed', 'refused')),
    until    timestamptz,
    lapses   bigint NOT NULL DEFAULT 0,
    made_at  timestamptz NOT NULL,
    PRIMARY KEY (entry_id, sku),
    FOREIGN KEY (drop_id, sku) REFERENCES drop_lots
);
CREATE INDEX claims_position ON claims (drop_id, sku, position);
CREATE INDEX claims_standby ON claims (drop_id, sku, lapses, position) WHERE state = 'standby';
CREATE INDEX claims_until ON claims (drop_id, until) WHERE state IN ('asked', 'held', 'offered');

-- The shop's word of how the log of entries was.
CREATE TABLE heads (
    drop_id   uuid NOT NULL REFERENCES drops,
    size      bigint NOT NULL,
    root      bytea NOT NULL,
    at        timestamptz NOT NULL,
    key       bytea NOT NULL,
    signature bytea NOT NULL,
    PRIMARY KEY (drop_id, at)
);

-- What staff did to a drop, for everybody to read but who it was.
CREATE TABLE acts (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    drop_id uuid NOT NULL REFERENCES drops ON DELETE CASCADE,
    act     text NOT NULL,
    detail  text NOT NULL,
    by_id   uuid NOT NULL,
    at      timestamptz NOT NULL
);
CREATE INDEX acts_drop ON acts (drop_id, id);

-- What auth told last about an account.
CREATE TABLE standings (
    account_id uuid PRIMARY KEY,
    suspended  boolean NOT NULL,
    told_at    timestamptz NOT NULL
);
