// Package browser walks through the demo with a real browser, headless Chromium, while datacenters die. It is a module
// of its own because what drives the browser (the DevTools protocol) is of no use to anybody else.
//
// With BROWSER_TEST_SHOTS set to a directory the pages are left there as pictures, to be looked at.
package browser
