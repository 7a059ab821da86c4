// The pages work without this file. With it they copy commands, know the keys, and keep themselves current.
(function () {
  "use strict";
  var main = document.getElementById("main");

  document.addEventListener("click", function (e) {
    var button = e.target.closest ? e.target.closest("[data-copy]") : null;
    if (!button) { return; }
    copy(button.getAttribute("data-copy"));
  });

  function copy(text) {
    if (navigator.clipboard && window.isSecureContext) {
      navigator.clipboard.writeText(text);
      return;
    }
    var area = document.createElement("textarea"); // pages without TLS have no clipboard
    area.value = text;
    document.body.appendChild(area);
    area.select();
    document.execCommand("copy");
    document.body.removeChild(area);
  }

  var leading = false;
  document.addEventListener("keydown", function (e) {
    if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) { return; }
    if (e.key === "/") {
      var search = document.getElementById("q");
      if (search) { search.focus(); e.preventDefault(); }
      return;
    }
    if (leading) {
      leading = false;
      var link = document.querySelector('a[data-key="' + e.key.replace(/[^a-z]/g, "") + '"]');
      if (link) { location.href = link.href; }
      return;
    }
    leading = e.key === "g";
    if (e.key === "w") { location.href = "/wall"; }
  });

  // The stream says that something is new; the page is then fetched again as a whole.
  if (!window.EventSource || !window.fetch || !window.DOMParser) { return; }
  var stream = null;
  function watch() {
    if (document.hidden || stream) { return; }
    stream = new EventSource("/events");
    stream.onmessage = renew;
  }
  function filled(part) { // an operator has begun to fill a form
    return Array.prototype.some.call(part.querySelectorAll("input, textarea, select"), function (e) {
      if (e.type === "hidden") { return false; }
      if (e.tagName === "SELECT") {
        return Array.prototype.some.call(e.options, function (o, i) {
          return o.selected !== (o.defaultSelected || !e.querySelector("[selected]") && i === 0);
        });
      }
      return e.value !== e.defaultValue || e.checked !== e.defaultChecked;
    });
  }
  function renew() {
    var from = document.body.dataset.from; // the answer to a form, which is not drawn again
    fetch(from || location.href, {credentials: "same-origin", headers: {"Skerry-Renew": "1"}}).then(function (r) {
      if (r.redirected && new URL(r.url).pathname === "/in") { location.href = "/in"; } // the session has ended
      return r.ok ? r.text() : Promise.reject(r.status);
    }).then(function (text) {
      if (window.getSelection && String(window.getSelection())) { return; } // a reader marks a text
      var at = document.activeElement;
      var fresh = new DOMParser().parseFromString(text, "text/html");
      var bar = document.querySelector(".top"), freshBar = fresh.querySelector(".top");
      if (bar && freshBar) { bar.className = freshBar.className; }
      (from ? [".state", ".live"] : ["#main", ".state", ".live", ".wall"]).forEach(function (part) {
        var old = document.querySelector(part), now = fresh.querySelector(part);
        if (old && (old.querySelector("[data-still], details[open]") || filled(old))) { return; }
        if (old && now && old.innerHTML !== now.innerHTML && !old.contains(at === document.body ? null : at)) {
          var scrolled = Array.prototype.map.call(old.querySelectorAll(".scroll"), function (s) { return s.scrollLeft; });
          old.className = now.className;
          old.innerHTML = now.innerHTML;
          Array.prototype.forEach.call(old.querySelectorAll(".scroll"), function (s, i) {
            s.scrollLeft = scrolled[i] || 0;
          });
        }
      });
    }).catch(function () {});
  }
  document.addEventListener("visibilitychange", function () {
    if (document.hidden && stream) {
      stream.close();
      stream = null;
      return;
    }
    watch();
    if (!document.hidden) { renew(); }
  });
  watch();
}());
