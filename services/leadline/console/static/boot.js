// Before the first paint: scripts run here, so controls that need them may be shown.
document.documentElement.dataset.script = "on";
