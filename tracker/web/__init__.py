"""The live server: hands, previews and figures by WebSocket, the viewer's page by HTTP, on one port."""
