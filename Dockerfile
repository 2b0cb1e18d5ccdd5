# One image for every service: `docker compose build`. Nothing runs as root, nothing is compiled, every package is
# pinned by hash; compose.yaml says how it is run.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN python3 -m venv /opt/build \
    && /opt/build/bin/python -m pip install -q --require-hashes -r requirements-build.lock
RUN python3 -m venv /opt/cityvigil \
    && /opt/cityvigil/bin/python -m pip install -q --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml LICENSE ./
COPY cityvigil cityvigil
COPY schemas schemas
COPY detectors detectors
COPY ingest ingest
COPY streams streams
COPY dispatch dispatch
COPY simulators simulators
RUN /opt/build/bin/python -m hatchling build -t wheel -d /tmp/wheel \
    && /opt/cityvigil/bin/python -m pip install -q --no-index --no-deps /tmp/wheel/*.whl

FROM python:3.11.14-slim-bookworm
RUN groupadd --system --gid 10001 cityvigil \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/cityvigil --shell /usr/sbin/nologin cityvigil \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/cityvigil /var/lib/cityvigil/mosquitto
COPY --from=build /opt/cityvigil /opt/cityvigil
ENV PATH=/opt/cityvigil/bin:$PATH PYTHONUNBUFFERED=1 CITYVIGIL_DATA=/var/lib/cityvigil
USER 10001:10001
WORKDIR /var/lib/cityvigil
ENTRYPOINT ["cityvigil"]
CMD ["--help"]
