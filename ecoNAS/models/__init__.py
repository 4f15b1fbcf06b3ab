"""From spec to module: timm blocks behind one signature, and the network made of them."""
