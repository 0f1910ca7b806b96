-- +goose Up
-- An account, from its first request on. Passwords are not here: Keycloak alone keeps them.
CREATE TABLE accounts (
    id              uuid PRIMARY KEY,        -- of this row, not known outside: it exists before Keycloak's user does
    account_id      uuid UNIQUE,             -- Keycloak's id of the user, the sub of its tokens; null while creating
    email           text COLLATE "C" NOT NULL,
    first_name      text NOT NULL,
    last_name       text NOT NULL,
    status          text NOT NULL CHECK (status IN ('creating', 'pending', 'active')),
    created_at      timestamptz NOT NULL,
    verified_at     timestamptz,             -- the right code came; the account is active once Keycloak knows too
    activated_at    timestamptz,
    lease_until     timestamptz NOT NULL,    -- until then a request works on what is half-made, after that the sweep does
    sessions_end_at timestamptz,             -- set while sessions have still to be ended at Keycloak
    keep_session    text NOT NULL DEFAULT '',-- the one that stays then
    failures_from   timestamptz,             -- failed logins before this do not count any more
    CONSTRAINT accounts_email UNIQUE (email),
    CHECK (email = lower(email)),
    CHECK ((status = 'creating') = (account_id IS NULL)),
    CHECK (status <> 'active' OR (verified_at IS NOT NULL AND activated_at IS NOT NULL))
);
CREATE INDEX accounts_half_made ON accounts (lease_until)
    WHERE status = 'creating' OR (status = 'pending' AND verified_at IS NOT NULL) OR sessions_end_at IS NOT NULL;
CREATE INDEX accounts_status ON accounts (status, id);

-- The one code that an account has for a purpose, as HMAC-SHA256.
CREATE TABLE codes (
    account    uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    purpose    text NOT NULL CHECK (purpose IN ('verify-email', 'password-reset')),
    hash       bytea NOT NULL,
    tries      int NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    PRIMARY KEY (account, purpose)
);

-- Requests for a code, also for addresses that nobody has registered: the caller's answer depends on
-- nothing else, and the limits are counted here. A worker makes the codes.
CREATE TABLE code_requests (
    id           uuid PRIMARY KEY,
    purpose      text NOT NULL CHECK (purpose IN ('verify-email', 'password-reset')),
    email        text COLLATE "C" NOT NULL,
    address      text NOT NULL,
    requested_at timestamptz NOT NULL,
    done_at      timestamptz
);
CREATE INDEX code_requests_email ON code_requests (email, purpose, requested_at);
CREATE INDEX code_requests_address ON code_requests (address, requested_at);
CREATE INDEX code_requests_waiting ON code_requests (id) WHERE done_at IS NULL;
CREATE INDEX code_requests_requested_at ON code_requests (requested_at);

-- Every use of a password through the API. Those for unknown addresses are only counted, and soon deleted.
CREATE TABLE logins (
    id         uuid PRIMARY KEY,
    account    uuid REFERENCES accounts (id) ON DELETE SET NULL,
    email      text COLLATE "C" NOT NULL,
    address    text NOT NULL,
    user_agent text NOT NULL,
    outcome    text NOT NULL CHECK (outcome IN ('trying', 'success', 'failed', 'refused')), -- refused: the right password of an account that may not log in
    at         timestamptz NOT NULL
);
CREATE INDEX logins_account ON logins (account, id);
CREATE INDEX logins_email ON logins (email, at) WHERE outcome IN ('trying', 'failed');
CREATE INDEX logins_address ON logins (address, at) WHERE outcome IN ('trying', 'failed');
CREATE INDEX logins_at ON logins (at);
