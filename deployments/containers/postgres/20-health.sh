#!/bin/bash
# The role of the health service: it reads the pipeline's tables, those of later migrations too, and does no more.
# Running it again is safe: that is how an installation from before gets the role, or a new password.
: "${POSTGRES_HEALTH_PASSWORD:?}"
psql --set ON_ERROR_STOP=1 --quiet --username "${POSTGRES_USER:-postgres}" --dbname vibecheck <<'SQL'
\getenv health_password POSTGRES_HEALTH_PASSWORD
SELECT 'CREATE ROLE vibecheck_health' WHERE to_regrole('vibecheck_health') IS NULL \gexec
ALTER ROLE vibecheck_health LOGIN CONNECTION LIMIT 20 PASSWORD :'health_password';
ALTER ROLE vibecheck_health SET default_transaction_read_only = on;
GRANT CONNECT ON DATABASE vibecheck TO vibecheck_health;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO vibecheck_health;
ALTER DEFAULT PRIVILEGES FOR ROLE vibecheck IN SCHEMA public GRANT SELECT ON TABLES TO vibecheck_health;
SQL
