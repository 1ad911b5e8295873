import signal

try:
    from deploy.local.cli import main

    status = main()
except KeyboardInterrupt:  # while modules are imported, which takes half a second
    status = 128 + signal.SIGINT
raise SystemExit(status)
