#!/bin/bash
# Runs once, when the data volume is empty: one database and one role for Prefect, one of each for the pipeline.
# Neither role may enter the other's database. Prefect's migrations need pg_trgm.
# psql takes the passwords from the environment: arguments of a process are for everybody to read.
: "${POSTGRES_PREFECT_PASSWORD:?}" "${POSTGRES_VIBECHECK_PASSWORD:?}"
psql --set ON_ERROR_STOP=1 --quiet --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv prefect_password POSTGRES_PREFECT_PASSWORD
\getenv vibecheck_password POSTGRES_VIBECHECK_PASSWORD
CREATE ROLE prefect LOGIN PASSWORD :'prefect_password';
CREATE DATABASE prefect OWNER prefect;
REVOKE ALL ON DATABASE prefect FROM PUBLIC;
CREATE ROLE vibecheck LOGIN PASSWORD :'vibecheck_password';
CREATE DATABASE vibecheck OWNER vibecheck;
REVOKE ALL ON DATABASE vibecheck FROM PUBLIC;
\connect prefect
CREATE EXTENSION pg_trgm;
SQL
