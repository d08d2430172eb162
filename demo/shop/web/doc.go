// Package web is one replica of the shop: pages that work without JavaScript, the JSON API, and what a traffic manager
// and a monitor want to know. [Server] is an http.Handler. It keeps nothing between requests: a visitor may come back
// to another replica, in another region.
package web
