package main

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meridian-gtm/meridian/control"
	"github.com/meridian-gtm/meridian/demo/lab"
	"github.com/meridian-gtm/meridian/demo/screen"
	"github.com/meridian-gtm/meridian/demo/world"
)

// lookEvery is the pause between two looks at nodes and answers.
const lookEvery = 200 * time.Millisecond

// watch shows the lab until the user quits or ctx ends. Where there is no terminal it prints lines.
func watch(ctx context.Context, c *cli.Context, l *lab.Lab, f *feed) error {
	banner(c.App.Writer, l)
	out, ok := c.App.Writer.(*os.File)
	if !ok {
		<-ctx.Done()
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	o := &observer{lab: l, feed: f, started: time.Now()}
	var looking sync.WaitGroup
	looking.Go(func() { o.run(ctx) })
	looking.Go(func() { o.listen(ctx) })
	defer looking.Wait()
	defer stop()
	return screen.Run(ctx, os.Stdin, out, o.facts, o.do, screen.Options{Plain: c.Bool("plain")})
}

// observer gathers what the screen shows.
type observer struct {
	lab     *lab.Lab
	feed    *feed
	started time.Time

	mu     sync.Mutex
	sites  []screen.Site
	cities []screen.City
}

// run looks at the lab until ctx ends.
func (o *observer) run(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		o.look(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// listen enters what the first node tells until ctx ends.
func (o *observer) listen(ctx context.Context) {
	m := o.lab.Members[0]
	err := m.API.Events(ctx, 0, true, func(e control.Event) error {
		if e.Kind != "mode" {
			o.feed.add(e.Time, m.Name+": "+e.Text)
		}
		return nil
	})
	if ctx.Err() == nil {
		o.feed.refused(err)
	}
}

func (o *observer) look(ctx context.Context) {
	cities := make([]screen.City, len(o.lab.Clients))
	for i, c := range o.lab.Clients {
		// Every city asks the node of its own datacenter.
		r, err := o.lab.Ask(ctx, o.lab.Members[i], lab.Host, c)
		city := screen.City{Name: c.City, TTL: r.TTL, Took: r.Took}
		switch {
		case err != nil:
			city.Fault = "no answer"
		case len(r.Addrs) == 0:
			city.Fault = r.Rcode
		}
		for _, a := range r.Addrs {
			city.Addrs = append(city.Addrs, a.String())
		}
		if len(r.Addrs) > 0 {
			city.Site = o.lab.SiteOf(r.Addrs[0])
		}
		cities[i] = city
	}
	sites := o.lookAtSites(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sites, o.cities = sites, cities
}

// lookAtSites joins what the first node holds true with what the world knows.
func (o *observer) lookAtSites(ctx context.Context) []screen.Site {
	status, err := o.lab.Members[0].API.Status(ctx)
	sites := make([]screen.Site, len(o.lab.Members))
	for i, inside := range o.lab.World.Status() {
		sites[i] = screen.Site{Name: inside.Site, Verdict: screen.Unknown, VIP: inside.VIP, Director: inside.Holder}
		if err != nil {
			continue
		}
		for _, s := range status.Sites {
			if s.Site != inside.Site || len(s.Targets) == 0 {
				continue
			}
			v := s.Targets[0].Verdict
			sites[i].Verdict, sites[i].Weight, sites[i].Reason = screen.Level(v.Level.String()), int(v.Weight), v.Reason
			for _, vote := range v.Votes {
				says := screen.Unknown
				if vote.Counted {
					says = []screen.Level{screen.Down, screen.Partial, screen.Up}[vote.U]
				}
				sites[i].Votes = append(sites[i].Votes, screen.Vote{Datacenter: vote.Datacenter, Says: says})
			}
		}
	}
	return sites
}

func (o *observer) facts() screen.Facts {
	now := time.Now()
	f := screen.Facts{
		Title: "Meridian demo: browse http://" + o.lab.TravelerAddr().String(), Now: now, Up: now.Sub(o.started), Events: o.feed.list(),
	}
	for _, fault := range o.lab.World.Faults() {
		f.Faults = append(f.Faults, screen.Fault{Text: fault.String(), Left: fault.Until.Sub(now)})
	}
	count := o.lab.Ledger.Count()
	f.Asked, f.Bad = count.Asked, count.Bad()
	o.mu.Lock()
	defer o.mu.Unlock()
	f.Sites, f.Cities = o.sites, o.cities
	return f
}

// do carries out what somebody asks for at the keyboard. What the world refuses it also tells as an event.
func (o *observer) do(a screen.Action) {
	site := ""
	if a.Site < len(o.lab.Members) {
		site = o.lab.Members[a.Site].Site
	}
	w := o.lab.World
	switch a.Do {
	case screen.ToggleSite:
		for _, f := range w.Faults() {
			if f.Kind == world.Lose && f.Site == site {
				o.feed.refused(w.Heal(f.ID))
				return
			}
		}
		o.inject(world.Fault{Kind: world.Lose, Site: site})
	case screen.KillDirector:
		o.inject(world.Fault{Kind: world.KillDirector, Site: site})
	case screen.SlowSite:
		o.inject(world.Fault{Kind: world.Slow, Site: site})
	case screen.CutGossip:
		o.inject(world.Fault{Kind: world.CutGossip})
	case screen.HealAll:
		w.HealAll()
	}
}

func (o *observer) inject(f world.Fault) {
	_, err := o.lab.World.Inject(f)
	o.feed.refused(err)
}

// feedSize is how many events are kept.
const feedSize = 100

// feed keeps what happened. It is safe for concurrent use.
type feed struct {
	mu     sync.Mutex
	seq    int
	events []screen.Event
}

// world takes an event of the world.
func (f *feed) world(e world.Event) {
	text := e.Text
	if e.Site != "" {
		text = e.Site + ": " + text
	}
	f.add(e.At, text)
}

// refused enters why something was not done; nil = it was.
func (f *feed) refused(err error) {
	if err != nil {
		f.add(time.Now(), err.Error())
	}
}

func (f *feed) add(at time.Time, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seq++
	f.events = append(f.events, screen.Event{Seq: f.seq, At: at, Text: text})
	if len(f.events) > feedSize {
		f.events = append([]screen.Event(nil), f.events[feedSize/2:]...)
	}
}

func (f *feed) list() []screen.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]screen.Event(nil), f.events...)
}
