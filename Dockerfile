# One image for every service of docker-compose.yml: a plain official base, the locked versions with every hash
# checked, wheels only, so that nothing is compiled.

FROM python:3.13-slim-trixie AS build
# The environment gets no pip of its own: the base image's installs into it.
RUN python -m venv --without-pip /opt/vibecheck
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_PYTHON=/opt/vibecheck/bin/python
COPY requirements.lock /tmp/requirements.lock
# Bytecode is compiled here: without it a flow run starts 9 seconds later, and the file system is read-only then.
RUN pip install --compile --no-deps --require-hashes --only-binary :all: -r /tmp/requirements.lock
WORKDIR /app
COPY pyproject.toml hatch_build.py README.md LICENSE prefect.yaml ./
COPY deployments deployments
COPY flows flows
COPY vibecheck vibecheck
# Editable, since the code reads prefect.yaml beside it. What only the installation needed is removed again.
RUN pip install --no-deps --no-build-isolation --editable . \
 && pip uninstall --yes --quiet hatchling editables trove-classifiers \
 && /opt/vibecheck/bin/python -m compileall -q deployments flows vibecheck

FROM python:3.13-slim-trixie
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /tmp vibecheck
COPY --from=build /opt/vibecheck /opt/vibecheck
COPY --from=build /app /app
WORKDIR /app
# Prefect writes its files, and a copy of its UI, below /tmp: the only place that has to be writable. A command that
# cannot reach the server must fail, and not start a private one with an empty world.
ENV PATH=/opt/vibecheck/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    PREFECT_HOME=/tmp/prefect \
    PREFECT_UI_STATIC_DIRECTORY=/tmp/prefect-ui \
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=false
USER 10001:10001
CMD ["vibecheck", "--help"]
