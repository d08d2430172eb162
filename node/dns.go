package node

import (
	"log/slog"

	"github.com/meridian-gtm/meridian/config"
	"github.com/meridian-gtm/meridian/dnsserver"
	"github.com/meridian-gtm/meridian/dnsserver/rrl"
	"github.com/meridian-gtm/meridian/dnsserver/wire"
)

// dnsOptions are what a configuration says about the DNS server.
func dnsOptions(c config.DNS, log *slog.Logger) dnsserver.Options {
	return dnsserver.Options{
		Listen: c.Listen, ListenTLS: c.TLS.Listen, ProxyFrom: c.ProxyFrom, Logger: log,
		Answers: wire.Options{
			NSID: c.NSID, Version: c.Chaos.Version, Hostname: c.Chaos.Hostname, UDPSize: int(c.UDPSize), NoECS: !c.ECS,
		},
		RateLimit: rrl.Options{
			Answers: c.RateLimit.Answers, Empty: c.RateLimit.Empty, Errors: c.RateLimit.Errors,
			Burst: c.RateLimit.Burst, Slip: c.RateLimit.Slip,
			V4Prefix: c.RateLimit.V4Prefix, V6Prefix: c.RateLimit.V6Prefix,
			Exempt: c.RateLimit.Exempt, Networks: c.RateLimit.Networks,
		},
		Cookies:           dnsserver.CookieOptions{Off: !c.Cookies.Enabled, Require: c.Cookies.Require},
		LatencySample:     c.LatencySample,
		MaxConns:          c.TCP.MaxConnections,
		MaxConnsPerClient: c.TCP.MaxConnectionsPerClient,
		MaxPipeline:       c.TCP.MaxPipeline,
		IdleTimeout:       c.TCP.IdleTimeout,
		WriteTimeout:      c.TCP.WriteTimeout,
		DrainTimeout:      c.DrainTimeout,
	}
}
