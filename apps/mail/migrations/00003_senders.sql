-- +goose Up
-- Many senders claim at once: what is due is found without walking past what is not, and codes without the others.
DROP INDEX mails_due;
CREATE INDEX mails_due ON mails (next_try_at) WHERE status = 'queued' AND expires_at IS NULL;
CREATE INDEX mails_due_codes ON mails (next_try_at) WHERE status = 'queued' AND expires_at IS NOT NULL;

-- Mails are deleted after MAIL_KEEP, those that were sent again before their copies. (Ids tell a mail's age.)
ALTER TABLE mails DROP CONSTRAINT mails_again_of_fkey;
ALTER TABLE mails ADD CONSTRAINT mails_again_of_fkey FOREIGN KEY (again_of) REFERENCES mails ON DELETE SET NULL;
CREATE INDEX mails_again_of ON mails (again_of) WHERE again_of IS NOT NULL;

-- kit's feed_positions tells how far orders and payments were asked.
DROP TABLE pulls;
