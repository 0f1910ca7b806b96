-- +goose Up
-- drawn: in a draw, of who is next in the order, until inventory has answered.
ALTER TABLE claims
    DROP CONSTRAINT claims_state_check,
    ADD CONSTRAINT claims_state_check
        CHECK (state IN ('drawn', 'asked', 'held', 'standby', 'offered', 'bought', 'lapsed', 'refused'));
CREATE INDEX claims_drawn ON claims (drop_id, position) WHERE state = 'drawn';

-- Whether who got nothing is told that it is over.
ALTER TABLE drops ADD COLUMN tell_end boolean NOT NULL DEFAULT false;

-- Of who asked to be told, until there is nothing left to tell.
ALTER TABLE entries ADD COLUMN email text;
CREATE INDEX entries_to_tell ON entries (drop_id, idx) WHERE email IS NOT NULL;
