package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/cmd/internal/cmdline"
	"github.com/meridian-gtm/meridian/cmd/internal/terminal"
	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/drill"
	"github.com/meridian-gtm/meridian/drill/compose"
)

func drillCommand() *cli.Command {
	return &cli.Command{
		Name:  "drill",
		Usage: "break something on purpose and measure what clients notice",
		Description: "A drill is refused when capacity or quorum would not bear it, stops at the first answer that no client\n" +
			"may get, and heals in every case. Exits 0 when the limits were kept, 1 when not, 2 for a wrong command line.\n\n" +
			"Examples:\n" +
			"  meridian drill list\n" +
			"  meridian drill run site-blackout --world demo --site eu-west\n" +
			"  meridian drill run site-blackout --hook ./plug.sh --name www.shop.example --clients clients.txt --api 127.0.0.1:8053\n" +
			"  meridian drill report --html report.html report.json\n" +
			"  meridian drill sim --seeds 1000",
		Subcommands: []*cli.Command{drillListCommand(), drillRunCommand(), drillReportCommand(), drillSimCommand(), drillDelayCommand()},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				return cmdline.Usagef("drill: unknown command %q", name)
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func worldFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "world", Value: "demo", Usage: "where to break: `WORLD` demo, compose or manual; see also --hook"},
		&cli.StringFlag{Name: "project", EnvVars: []string{"COMPOSE_PROJECT_NAME"}, Value: "meridian", Usage: "Compose project of the world compose, `NAME`"},
		&cli.StringFlag{Name: "control", EnvVars: []string{"MERIDIAN_DEMO"}, Value: "127.0.0.1:8082", Usage: "fault control of the demo, `ADDRESS`"},
		&cli.StringFlag{Name: "hook", Usage: "`SCRIPT` that breaks and heals real sites: SCRIPT list | inject KIND SITE SECONDS | heal KIND SITE SECONDS"},
	}
}

func drillListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "show every drill and the worlds that can play it",
		Description: "Examples:\n  meridian drill list\n  meridian drill list --hook ./plug.sh --json",
		Flags:       append(worldFlags(), jsonFlag()),
		Action: func(c *cli.Context) error {
			if err := cmdline.WantArgs(c); err != nil {
				return err
			}
			can := map[string][]drill.Kind{"demo": drill.DemoKinds(), "compose": compose.Kinds(), "manual": drill.Kinds()}
			worlds := []string{"demo", "compose", "manual"}
			if demo, err := drill.DialDemo(c.Context, c.String("control")); err == nil {
				can["demo"] = demo.Can() // of this machine
			}
			if script := c.String("hook"); script != "" {
				hook, err := drill.NewHook(c.Context, script)
				if err != nil {
					return err
				}
				worlds, can["hook"] = append(worlds, "hook"), hook.Can()
			}
			return listDrills(c, worlds, can)
		},
	}
}

func listDrills(c *cli.Context, worlds []string, can map[string][]drill.Kind) error {
	type row struct {
		ID     string       `json:"id"`
		Title  string       `json:"title"`
		What   string       `json:"what"`
		Needs  []drill.Kind `json:"needs"`
		Worlds []string     `json:"worlds"`
	}
	rows := []row{}
	for _, s := range drill.Catalogue() {
		r := row{ID: s.ID, Title: s.Title, What: s.What, Needs: s.Needs(), Worlds: []string{}}
		for _, w := range worlds {
			if len(s.Missing(can[w])) == 0 {
				r.Worlds = append(r.Worlds, w)
			}
		}
		rows = append(rows, r)
	}
	if c.Bool("json") {
		return cmdline.WriteJSON(c.App.Writer, rows)
	}
	t := terminal.NewTable(c.App.Writer, "DRILL", "WORLDS", "WHAT HAPPENS")
	for _, r := range rows {
		t.Row(r.ID, strings.Join(r.Worlds, " "), r.Title)
	}
	t.Flush()
	return nil
}

func drillRunCommand() *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "play a drill, or all that the world can", ArgsUsage: "DRILL|all",
		Description: "The worlds demo and compose tell by themselves which nodes, name and client networks there are. Elsewhere say\n" +
			"--name, --clients and one --api for each node whose decisions are to be timed; the others are timed by their answers.\n\n" +
			"With a witness the drill also proves that no order is lost: PROGRAM watch orders until SIGTERM and prints a line\n" +
			"of JSON for each order that was acknowledged; PROGRAM check reads those lines and prints what it found.\n\n" +
			"Examples:\n" +
			"  meridian drill run site-blackout --world demo\n" +
			"  meridian drill run region-loss --world compose --site us-east --html report.html\n" +
			"  meridian drill run gray-slow --site us-east --html report.html --json > report.json\n" +
			"  meridian drill run all --dir reports --force --why \"quarterly exercise, CHG-2041\"\n" +
			"  meridian drill run backbone-gone --force --why \"quarterly exercise, CHG-2041\"\n" +
			"  meridian drill run site-blackout --world manual --site fra --name www.shop.example --clients clients.txt",
		Flags: append(worldFlags(),
			&cli.StringFlag{Name: "site", Usage: "`SITE` to break; default: the second by name"},
			&cli.StringFlag{Name: "pace", Usage: "how fast the fleet is set to react: `PACE` default or fast; default: the demo says it, else default"},
			&cli.StringFlag{Name: "name", Usage: "DNS `NAME` of a steered service to ask for"},
			&cli.StringFlag{Name: "clients", Usage: "`FILE` with a client network a line: PREFIX [WEIGHT [LABEL]]"},
			&cli.StringSliceFlag{Name: "against", Usage: "DNS `ADDRESS:PORT` of every node, in the order of their names; default: as they say"},
			&cli.StringSliceFlag{Name: "api", EnvVars: []string{"MERIDIAN_API"}, Usage: "control API of a node, `URL`; more than once for several"},
			&cli.StringFlag{Name: "witness", Usage: "`PROGRAM` that orders during the drill and looks at the orders afterwards; none = nobody; default: in the world compose its shop, else none"},
			&cli.StringFlag{Name: "html", Usage: "write a report that stands alone to `FILE`"},
			&cli.StringFlag{Name: "out", Usage: "write the report as JSON to `FILE`"},
			&cli.StringFlag{Name: "dir", Usage: "for all: write the reports into `DIR`"},
			&cli.StringFlag{Name: "baseline", Usage: "compare with an earlier report, `FILE`; fails when something got worse beyond --tolerance"},
			&cli.IntFlag{Name: "tolerance", Value: drill.DefaultTolerance, Usage: "`PERCENT` by which a figure may be worse than the baseline"},
			&cli.BoolFlag{Name: "force", Usage: "although interlocks do not hold; wants --why"},
			&cli.StringFlag{Name: "why", Usage: "`REASON` of a forced drill, kept in the report"},
			&cli.StringFlag{Name: "who", EnvVars: []string{"MERIDIAN_WHO"}, Usage: "`USER` on whose behalf; default: your account"},
			&cli.BoolFlag{Name: "dry-run", Usage: "show the plan, break nothing"},
			jsonFlag(),
		),
		Action: runDrill,
	}
}

// errPlanned ends a dry run.
var errPlanned = errors.New("planned")

func runDrill(c *cli.Context) error {
	if err := cmdline.WantArgs(c, "DRILL"); err != nil {
		return err
	}
	if c.Bool("force") && strings.TrimSpace(c.String("why")) == "" {
		return cmdline.Usagef("--force: want a reason with --why")
	}
	if c.Args().First() == "all" {
		return runAll(c)
	}
	scenario, ok := drill.Find(c.Args().First())
	if !ok {
		return cmdline.Usagef("drill %q: want all or one of: meridian drill list", c.Args().First())
	}
	baseline, err := readReport(c.String("baseline"))
	if err != nil {
		return err
	}
	report, err := playDrill(c, scenario, c.Bool("force"))
	switch {
	case errors.Is(err, errPlanned):
		return nil
	case errors.Is(err, drill.ErrRefused):
		return cmdline.HintedError{Err: err, Hint: "--force --why REASON does it all the same"}
	case report == nil:
		return err
	}
	return errors.Join(err, publish(c, report, baseline))
}

func playDrill(c *cli.Context, scenario drill.Scenario, force bool) (*drill.Report, error) {
	o := drill.Options{Scenario: scenario, Target: c.String("site"), Force: force, Why: c.String("why"), Who: c.String("who")}
	if o.Who == "" {
		o.Who = account()
	}
	if err := setWorld(c, &o); err != nil {
		return nil, err
	}
	// People read along on the error stream when the report goes to a program.
	out := c.App.Writer
	if c.Bool("json") || c.String("dir") != "" {
		out = c.App.ErrWriter
	}
	o.Progress = func(line string) { fmt.Fprintln(out, line) }
	o.Planned = func(p *drill.Plan) error {
		printPlan(out, terminal.PaintFor(out), p)
		if c.Bool("dry-run") {
			return errPlanned
		}
		return nil
	}
	return drill.Run(c.Context, o)
}

// runAll plays every drill that the world can, one after another, and forces those that have to be if it may.
func runAll(c *cli.Context) error {
	dir := c.String("dir")
	if dir == "" || c.String("html") != "" || c.String("out") != "" || c.String("baseline") != "" {
		return cmdline.Usagef("drill run all: want --dir for its reports, and none of --html, --out and --baseline")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var reports []*drill.Report
	var faults []error
	for _, scenario := range drill.Catalogue() {
		var o drill.Options
		if err := setWorld(c, &o); err != nil {
			return err
		}
		if missing := scenario.Missing(o.World.Can()); len(missing) > 0 {
			fmt.Fprintf(c.App.ErrWriter, "%s: left out: the world %s cannot make %v\n", scenario.ID, o.World.Name(), missing)
			continue
		}
		if err := drill.Rest(c.Context, o.Fleet, o.Pace); err != nil {
			return err
		}
		report, err := playDrill(c, scenario, false)
		if errors.Is(err, drill.ErrRefused) && c.Bool("force") {
			report, err = playDrill(c, scenario, true)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", scenario.ID, err))
		}
		if c.Context.Err() != nil {
			return errors.Join(faults...)
		}
		if report == nil {
			continue
		}
		fmt.Fprintln(c.App.ErrWriter)
		base := filepath.Join(dir, scenario.ID)
		faults = append(faults,
			report.WriteText(c.App.ErrWriter),
			toFile(base+".json", func(w io.Writer) error { return cmdline.WriteJSON(w, report) }),
			toFile(base+".html", func(w io.Writer) error { return report.WriteHTML(w, nil) }),
		)
		reports = append(reports, report)
	}
	if err := errors.Join(append(faults, drill.WriteTable(c.App.Writer, reports))...); err != nil {
		return err
	}
	return unlessPassed(reports)
}

func unlessPassed(reports []*drill.Report) error {
	for _, r := range reports {
		if r.Outcome != drill.Passed {
			return cmdline.ErrSaid
		}
	}
	return nil
}

// setWorld fills in where faults are made and what is asked.
func setWorld(c *cli.Context, o *drill.Options) error {
	// What a world tells of itself.
	var fleet drill.Fleet
	var err error
	var shop func(target string) (*drill.Witness, error)
	switch world := c.String("world"); {
	case c.String("hook") != "":
		o.World, err = drill.NewHook(c.Context, c.String("hook"))
	case world == "manual":
		o.World = drill.NewManual(os.Stdin, c.App.ErrWriter)
	case world == "compose":
		found, err := compose.Open(c.Context, compose.Options{Project: c.String("project")})
		if err != nil {
			return cmdline.HintedError{Err: err, Hint: "is it up? docs/compose.md says how: docker compose up --build --wait"}
		}
		if text := found.Limits(); text != "" {
			fmt.Fprintln(c.App.ErrWriter, text)
		}
		o.World, o.Pace, fleet, shop = found, found.Pace(), found.Fleet(), found.Witness
	case world == "demo":
		demo, err := drill.DialDemo(c.Context, c.String("control"))
		if err != nil {
			return cmdline.HintedError{Err: err, Hint: "is the demo running? start it with: go run ./cmd/demo"}
		}
		if fleet, err = demo.Fleet(); err != nil {
			return err
		}
		o.World, o.Pace = demo, demo.Description.Pace
	default:
		return cmdline.Usagef("world %q: want demo, compose or manual, or --hook", world)
	}
	if err != nil {
		return err
	}
	switch pace := drill.Pace(c.String("pace")); pace {
	case "":
	case drill.Default, drill.Fast:
		o.Pace = pace
	default:
		return cmdline.Usagef("pace %q: want default or fast", pace)
	}
	// An API of a container is at no address that could be given.
	if len(fleet.Nodes) == 0 || shop == nil && (c.IsSet("api") || c.IsSet("against")) {
		if err := discover(c, o); err != nil {
			return err
		}
	} else if o.Fleet = fleet; c.String("clients") != "" {
		if o.Fleet.Clients, err = readClients(c.String("clients")); err != nil {
			return err
		}
	}
	if name := c.String("name"); name != "" {
		o.Fleet.Name = name
	}
	if o.Target == "" {
		if o.Target, err = secondSite(c.Context, o.Fleet); err != nil {
			return err
		}
	}
	switch program := c.String("witness"); {
	case program == "none":
	case program != "":
		o.Witness = &drill.Witness{Watch: []string{program, "watch"}, Check: []string{program, "check"}}
	case shop != nil:
		o.Witness, err = shop(o.Target)
	}
	return err
}

// discover asks the APIs of the command line what there is.
func discover(c *cli.Context, o *drill.Options) error {
	if c.String("name") == "" || c.String("clients") == "" {
		return cmdline.Usagef("drill run: --name and --clients: want both, since no demo tells them")
	}
	clients, err := readClients(c.String("clients"))
	if err != nil {
		return err
	}
	urls := c.StringSlice("api")
	if len(urls) == 0 {
		urls = []string{"127.0.0.1:8053"}
	}
	var apis []*control.Client
	for _, url := range urls {
		api, err := control.NewClient(url)
		if err != nil {
			return cmdline.UsageError{Err: err}
		}
		apis = append(apis, api)
	}
	var servers []netip.AddrPort
	for _, text := range c.StringSlice("against") {
		addr, err := netip.ParseAddrPort(text)
		if err != nil {
			return cmdline.Usagef("against %q: want ADDRESS:PORT", text)
		}
		servers = append(servers, addr)
	}
	o.Fleet, err = drill.Discover(c.Context, apis, servers, c.String("name"), clients)
	return err
}

// secondSite is broken by default: the first is often where the operator's own node is.
func secondSite(ctx context.Context, f drill.Fleet) (string, error) {
	sites, err := f.Sites(ctx)
	if err != nil {
		return "", err
	}
	return sites[min(1, len(sites)-1)], nil
}

// readClients reads lines of PREFIX [WEIGHT [LABEL]]; # begins a comment.
func readClients(path string) ([]drill.Client, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var clients []drill.Client
	scanner := bufio.NewScanner(f)
	for n := 1; scanner.Scan(); n++ {
		text, _, _ := strings.Cut(scanner.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		prefix, err := control.ParseClient(words[0])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		client := drill.Client{Prefix: prefix, Weight: 1}
		if len(words) > 1 {
			if client.Weight, err = strconv.ParseFloat(words[1], 64); err != nil || !(client.Weight > 0) {
				return nil, fmt.Errorf("%s:%d: weight %q: want a number above 0", path, n, words[1])
			}
		}
		if len(words) > 2 {
			client.Label = strings.Join(words[2:], " ")
		}
		clients = append(clients, client)
	}
	return clients, scanner.Err()
}

func printPlan(out io.Writer, p terminal.Paint, plan *drill.Plan) {
	fmt.Fprintf(out, "%s: %s, at %s in world %s, %s pace\n", p.Bold(plan.Drill), plan.Title, plan.Target, plan.World, plan.Pace)
	for _, line := range plan.Does {
		fmt.Fprintf(out, "  %s\n", line)
	}
	for _, pool := range plan.Pools {
		fmt.Fprintf(out, "  %s %s: %s -> %s", pool.Service, pool.Family, list(pool.Before), list(pool.After))
		if pool.CapacityBefore > 0 {
			fmt.Fprintf(out, "  capacity %d -> %d", pool.CapacityBefore, pool.CapacityAfter)
		}
		fmt.Fprintln(out)
	}
	for _, r := range plan.Refusals {
		fmt.Fprintf(out, "  %s %s\n", p.Bad("interlock:"), r)
	}
}

// publish writes a report everywhere it is wanted and fails unless it passed.
func publish(c *cli.Context, report, baseline *drill.Report) error {
	var comparison *drill.Comparison
	if baseline != nil {
		comparison = drill.Compare(baseline, report, c.Int("tolerance"))
	}
	if err := writeReports(c, report, comparison); err != nil {
		return err
	}
	if report.Outcome != drill.Passed || comparison != nil && comparison.Worse() {
		return cmdline.ErrSaid
	}
	return nil
}

func writeReports(c *cli.Context, report *drill.Report, comparison *drill.Comparison) error {
	if path := c.String("html"); path != "" {
		if err := toFile(path, func(w io.Writer) error { return report.WriteHTML(w, comparison) }); err != nil {
			return err
		}
	}
	if path := c.String("out"); path != "" {
		if err := toFile(path, func(w io.Writer) error { return cmdline.WriteJSON(w, report) }); err != nil {
			return err
		}
	}
	text := c.App.Writer
	if c.Bool("json") {
		if err := cmdline.WriteJSON(c.App.Writer, report); err != nil {
			return err
		}
		text = c.App.ErrWriter
	}
	fmt.Fprintln(text)
	if err := report.WriteText(text); err != nil {
		return err
	}
	if comparison != nil {
		return comparison.WriteText(text)
	}
	return nil
}

func toFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func drillReportCommand() *cli.Command {
	return &cli.Command{
		Name: "report", Usage: "show reports of earlier drills again", ArgsUsage: "FILE...",
		Description: "With --table the reports become one table in Markdown.\n\n" +
			"Examples:\n" +
			"  meridian drill report report.json\n" +
			"  meridian drill report report.json --html report.html --baseline before.json\n" +
			"  meridian drill report --table reports/*.json",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "html", Usage: "write a report that stands alone to `FILE`"},
			&cli.StringFlag{Name: "baseline", Usage: "compare with an earlier report, `FILE`"},
			&cli.IntFlag{Name: "tolerance", Value: drill.DefaultTolerance, Usage: "`PERCENT` by which a figure may be worse than the baseline"},
			&cli.BoolFlag{Name: "table", Usage: "one line for each report"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 || c.NArg() > 1 && !c.Bool("table") {
				return cmdline.Usagef("drill report: want one FILE, or several with --table, got %d", c.NArg())
			}
			var reports []*drill.Report
			for _, path := range c.Args().Slice() {
				report, err := readReport(path)
				if err != nil {
					return err
				}
				reports = append(reports, report)
			}
			if c.Bool("table") {
				if err := drill.WriteTable(c.App.Writer, reports); err != nil {
					return err
				}
				return unlessPassed(reports)
			}
			baseline, err := readReport(c.String("baseline"))
			if err != nil {
				return err
			}
			return publish(c, reports[0], baseline)
		},
	}
}

// readReport reads a report; no path is no report.
func readReport(path string) (*drill.Report, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := drill.ReadReport(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
