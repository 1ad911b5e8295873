from deploy.local.cli import main

raise SystemExit(main())
