# Build: the locked dependencies and Synapse itself in one virtual environment.
FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/synapse
COPY requirements.lock .
RUN /opt/synapse/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /opt/synapse/bin/pip install --no-cache-dir --no-deps .

# Run: nothing but that, as a user who owns nothing but the store.
FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /etc/synapse --no-create-home synapse \
  && install -d -o synapse /var/lib/synapse
COPY --from=build /opt/synapse /opt/synapse
COPY config.yaml /etc/synapse/config.yaml
ENV PATH=/opt/synapse/bin:$PATH PYTHONUNBUFFERED=1 SYNAPSE_SERVER__HOST=0.0.0.0 \
  SYNAPSE_STORE__PATH=/var/lib/synapse/synapse.db
USER synapse
WORKDIR /etc/synapse
VOLUME /var/lib/synapse
EXPOSE 8080 50051
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["synapse"]
CMD ["serve"]
