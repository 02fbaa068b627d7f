view.open();
